"""What offline and live rendering share between a source and the animator: scenes, driving motion, costly resources."""
