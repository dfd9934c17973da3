//! The store of a launcher.

use std::time::Duration;

use torch_ext::StoreServer;

use crate::error::{DistributedError, told};

/// Where the ranks of one machine meet, served by their launcher. So the ranks can be started again at the same place, and no
/// rank has to be there first.
pub struct Server(StoreServer);

impl Server {
    /// The address of this machine for its own processes.
    pub const HOST: &'static str = "127.0.0.1";

    /// Serves on a free port.
    ///
    /// # Errors
    /// [`DistributedError::Server`] when there is none.
    pub fn new() -> Result<Self, DistributedError> {
        let store = StoreServer::new(Self::HOST, 0, Duration::from_secs(60));
        let failed = |error| DistributedError::Server { host: Self::HOST.to_owned(), found: told(&error) };
        Ok(Self(store.map_err(failed)?))
    }

    /// The port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.0.port()
    }
}
