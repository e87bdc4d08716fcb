//! windlass-router-labels
