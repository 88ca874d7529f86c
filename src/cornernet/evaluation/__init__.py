"""COCO average precision, per-class tables and plots."""
