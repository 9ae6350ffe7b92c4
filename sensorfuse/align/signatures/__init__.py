"""What each modality tells of motion, one measurement per file: the parts of `sensorfuse.align.signature`."""
