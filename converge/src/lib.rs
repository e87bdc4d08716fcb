//! windlass-converge
