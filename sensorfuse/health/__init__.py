"""How well each stream is: its content in the sensor's process, its pace and its return in the aligner."""
