"""Datasets in COCO format, and pictures from anywhere."""
