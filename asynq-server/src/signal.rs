//! What the operating system tells the process.

use std::io;

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OsSignal {
    /// SIGTERM, SIGINT, ctrl-c: shut down.
    End,
    /// SIGTSTP: take no new tasks.
    #[cfg_attr(not(unix), expect(dead_code, reason = "only Unix has it"))]
    Stop,
}

#[cfg(unix)]
pub(crate) struct OsSignals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
    stop: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl OsSignals {
    pub(crate) fn listen() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(OsSignals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            stop: signal(SignalKind::from_raw(libc::SIGTSTP))?,
        })
    }

    pub(crate) async fn next(&mut self) -> OsSignal {
        tokio::select! {
            _ = self.terminate.recv() => OsSignal::End,
            _ = self.interrupt.recv() => OsSignal::End,
            _ = self.stop.recv() => OsSignal::Stop,
        }
    }
}

#[cfg(not(unix))]
pub(crate) struct OsSignals;

#[cfg(not(unix))]
impl OsSignals {
    pub(crate) fn listen() -> io::Result<Self> {
        Ok(OsSignals)
    }

    pub(crate) async fn next(&mut self) -> OsSignal {
        if tokio::signal::ctrl_c().await.is_err() {
            // Nobody will ever tell.
            std::future::pending::<()>().await;
        }
        OsSignal::End
    }
}
