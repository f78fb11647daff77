"""Studies that produce the results in the documents; imported only by `halocline.py`."""
