//! A connection that is made when it is needed and made again when it breaks.
//!
//! redis-rs has a connection manager, but calls wait inside it while the server is away, and it cannot say whether a
//! failed call was sent. Here no call waits longer than one attempt to connect and one response timeout.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use asynq_core::BrokerError;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Pipeline, Value};
use tokio::sync::Mutex;

use crate::config::Options;
use crate::error::{CallError, call_error, connect_error, is_wrong_server};

/// How many requests may wait to be written. More than redis-rs' default, for servers with many workers.
const PIPELINE_BUFFER: usize = 1000;

/// One connection to the server, shared by all who call.
pub(crate) struct Link {
    client: Client,
    options: Options,
    current: ArcSwapOption<Live>,
    /// Number of the latest attempt to connect, and how it failed.
    attempts: AtomicU64,
    connecting: Mutex<Option<BrokerError>>,
    /// The server does not know `EVALSHA_RO`, or the user may not use it.
    no_read_only_scripts: AtomicBool,
}

struct Live {
    connection: MultiplexedConnection,
    generation: u64,
}

impl Link {
    pub(crate) fn new(client: Client, options: Options) -> Self {
        Link {
            client,
            options,
            current: ArcSwapOption::empty(),
            attempts: AtomicU64::new(0),
            connecting: Mutex::new(None),
            no_read_only_scripts: AtomicBool::new(false),
        }
    }

    /// Sends commands and waits for as many answers. Answers that are errors are among them.
    pub(crate) async fn send(
        &self,
        operation: &'static str,
        pipeline: &Pipeline,
    ) -> Result<Vec<Value>, CallError> {
        let live = self.live(operation).await.map_err(|error| CallError {
            error,
            drop_connection: false,
            broken: false,
        })?;
        let answers = live
            .connection
            .clone()
            .send_packed_commands(pipeline, 0, pipeline.len())
            .await;
        match answers {
            Ok(values) => {
                if values.iter().any(names_wrong_server) {
                    self.forget(&live);
                }
                Ok(values)
            }
            Err(error) => {
                let error = call_error(operation, error);
                if error.drop_connection {
                    self.forget(&live);
                }
                Err(error)
            }
        }
    }

    pub(crate) fn sends_read_only_scripts(&self) -> bool {
        !self.no_read_only_scripts.load(Ordering::Relaxed)
    }

    pub(crate) fn send_no_read_only_scripts(&self) {
        self.no_read_only_scripts.store(true, Ordering::Relaxed);
    }

    /// The connection there is, or a new one. However many ask, one connects at a time, and those who waited for an
    /// attempt that failed share its error instead of each waiting for one of its own.
    async fn live(&self, operation: &'static str) -> Result<Arc<Live>, BrokerError> {
        if let Some(live) = self.current.load_full() {
            return Ok(live);
        }
        let attempts_before = self.attempts.load(Ordering::Acquire);
        let mut last_error = self.connecting.lock().await;
        if let Some(live) = self.current.load_full() {
            return Ok(live);
        }
        if self.attempts.load(Ordering::Acquire) != attempts_before
            && let Some(error) = &*last_error
        {
            return Err(error.clone());
        }
        let connected = self.connect(operation).await;
        let generation = self.attempts.fetch_add(1, Ordering::AcqRel);
        match connected {
            Ok(connection) => {
                let live = Arc::new(Live {
                    connection,
                    generation,
                });
                self.current.store(Some(live.clone()));
                *last_error = None;
                Ok(live)
            }
            Err(error) => {
                *last_error = Some(error.clone());
                Err(error)
            }
        }
    }

    async fn connect(&self, operation: &'static str) -> Result<MultiplexedConnection, BrokerError> {
        let config = connection_config(&self.options);
        self.client
            .get_multiplexed_async_connection_with_config(&config)
            .await
            .map_err(|error| connect_error(operation, error))
    }

    /// Connects if there is no connection, and says which one there is: another number is another connection.
    pub(crate) async fn generation(&self, operation: &'static str) -> Result<u64, BrokerError> {
        Ok(self.live(operation).await?.generation)
    }

    /// Makes the next call connect anew, unless somebody did already.
    fn forget(&self, live: &Arc<Live>) {
        let current = self.current.load();
        if current.as_ref().is_some_and(|current| Arc::ptr_eq(current, live)) {
            self.current.compare_and_swap(&current, None);
        }
    }
}

/// The time-outs of a connection.
pub(crate) fn connection_config(options: &Options) -> AsyncConnectionConfig {
    AsyncConnectionConfig::new()
        .set_connection_timeout(Some(options.connect_timeout))
        .set_response_timeout(Some(options.response_timeout))
        .set_pipeline_buffer_size(PIPELINE_BUFFER)
}

fn names_wrong_server(value: &Value) -> bool {
    matches!(value, Value::ServerError(error) if is_wrong_server(error))
}

/// A random delay that grows with the number of failures so far, between half of and all of 2ⁿ times `base`, at most
/// `cap`.
pub(crate) fn backoff(failures: u32, base: Duration, cap: Duration) -> Duration {
    let longest = base.saturating_mul(1 << failures.min(16)).min(cap);
    longest.mul_f64(0.5 + fastrand::f64() / 2.0)
}
