//! REST, the worker socket and the engine's driver.
