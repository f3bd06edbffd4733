"""Shared by offline and live rendering: scenes, driving motion, expensive resources."""
