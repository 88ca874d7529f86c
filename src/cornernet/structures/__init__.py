"""The values that travel between the parts: classes, corner maps, detections."""
