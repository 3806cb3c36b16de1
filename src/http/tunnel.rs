//! The tunnel through a proxy: whose fault it is where something fails.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ureq::unversioned::transport::{ConnectionDetails, Connector, Transport};

/// Notices that a proxy has opened its tunnel: what fails before is the fault of the proxy.
#[derive(Clone, Debug, Default)]
pub(super) struct Tunnel(Arc<AtomicBool>);

impl Tunnel {
    pub(super) fn stands(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl<In: Transport> Connector<In> for Tunnel {
    type Out = In;

    /// Behind the link that opens tunnels, only a tunnel is connected already.
    fn connect(
        &self,
        _: &ConnectionDetails,
        connected: Option<In>,
    ) -> Result<Option<In>, ureq::Error> {
        self.0.fetch_or(connected.is_some(), Ordering::Relaxed);
        Ok(connected)
    }
}
