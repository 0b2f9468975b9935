//! Is anything moving? Regions of change in low-resolution luma.
