"""Logs: readers for every format, one writer. All yield and take the same messages."""

from sensorfuse.log.detect import open_log
from sensorfuse.log.mcap_log import read_frames
from sensorfuse.log.reader import LogReader, StreamInfo
from sensorfuse.log.writer import LogWriter

__all__ = ["LogReader", "LogWriter", "StreamInfo", "open_log", "read_frames"]
