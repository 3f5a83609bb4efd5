//! A client of a generated service that connects when it is needed, and tries again after a failure.

use std::time::Duration;

use orrery_peers::{Backoff, retry_after};
use tonic::Status;
use tonic::transport::Channel;

use super::{ServiceAddress, backoff, channel};

/// Is told that a call failed and will be tried again after this time.
pub(crate) type Waiting<'a> = &'a mut (dyn FnMut(&Status, Duration) + Send);

/// A client of the generated type `C` that tries again until it gives up.
#[derive(Debug)]
pub(crate) struct RetryingClient<C> {
    address: ServiceAddress,
    backoff: Backoff,
    of_channel: fn(Channel) -> C,
    client: Option<C>,
}

impl<C> RetryingClient<C> {
    /// A client that gives up after a time without an answer. `of_channel` makes the generated client.
    pub(crate) fn new(address: ServiceAddress, give_up_after: Duration, of_channel: fn(Channel) -> C) -> Self {
        Self { address, backoff: backoff(give_up_after), of_channel, client: None }
    }

    /// Calls until there is an answer.
    ///
    /// # Errors
    /// The last failure, if trying again cannot help or has not helped for long enough.
    pub(crate) async fn call<T>(
        &mut self,
        waiting: Waiting<'_>,
        ask: impl AsyncFn(&mut C) -> Result<T, Status>,
    ) -> Result<T, Status> {
        self.begin();
        loop {
            let status = match self.connected().await {
                Ok(client) => match ask(client).await {
                    Ok(answer) => {
                        self.answered();
                        return Ok(answer);
                    }
                    Err(status) => status,
                },
                Err(status) => status,
            };
            self.wait_after(status, waiting).await?;
        }
    }

    /// Starts the time after which it gives up.
    pub(crate) fn begin(&mut self) {
        self.backoff.restart();
    }

    /// The connected client.
    pub(crate) async fn connected(&mut self) -> Result<&mut C, Status> {
        let client = match self.client.take() {
            Some(client) => client,
            None => (self.of_channel)(channel(&self.address).await?),
        };
        Ok(self.client.insert(client))
    }

    /// The service has answered: the time after which it gives up starts again.
    pub(crate) fn answered(&mut self) {
        self.backoff.succeeded();
    }

    /// Drops the connection and waits before the next attempt. Returns the failure if there should be none.
    pub(crate) async fn wait_after(&mut self, status: Status, waiting: Waiting<'_>) -> Result<(), Status> {
        self.client = None;
        let wait = retry_after(&status).and_then(|asked| self.backoff.next_wait(asked));
        let Some(wait) = wait else { return Err(status) };
        waiting(&status, wait);
        tokio::time::sleep(wait).await;
        Ok(())
    }
}
