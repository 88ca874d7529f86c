"""The values that travel between the parts: classes, corner maps, targets, detections; and writing files whole."""
