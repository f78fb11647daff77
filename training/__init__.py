"""What both training stages share: the counted loop, its checkpoints and its log."""

from halocline_packages import refuse_hidden

refuse_hidden("data")
