//! A broker that keeps everything in this process.

/// placeholder
#[derive(Debug, Clone, Default)]
pub struct MemoryBroker {}
