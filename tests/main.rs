//! Behaviour of the real binary, one module per behaviour.
