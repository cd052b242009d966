//! What can be out of order for a while.

/// Something that goes down, or wrong, for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outage {
    /// An edge is cut off from the service.
    EdgeCutOff,
    /// An edge's syncs are lost, its verifies are not.
    SyncsCutOff,
    /// An edge's process stands still.
    EdgePaused,
    /// An edge's machine is suspended: its monotonic clock stands still too.
    EdgeSuspended,
    /// An edge starts anew.
    EdgeRestarted,
    /// Somebody sets an edge's wall clock.
    WallClockSet,
    /// A replica is killed, and started again.
    ReplicaKilled,
    /// A replica stands still, and goes on.
    ReplicaPaused,
    /// A replica is told to end: it answers the syncs that it holds, serves a while longer, and is started again.
    ReplicaDrained,
    /// A replica's connections to the database break.
    ConnectionsLost,
    /// The database crashes and recovers, without the leases.
    DatabaseRestarted,
    /// A standby takes the database's place. It may lack the latest changes, and has no leases.
    FailedOver,
    /// Everything of the service goes down at once.
    PowerCut,
}

impl Outage {
    /// Those of edges.
    pub const OF_EDGES: &[Outage] = &[
        Outage::EdgeCutOff,
        Outage::SyncsCutOff,
        Outage::EdgePaused,
        Outage::EdgeSuspended,
        Outage::EdgeRestarted,
        Outage::WallClockSet,
    ];

    /// Those of replicas.
    pub const OF_REPLICAS: &[Outage] =
        &[Outage::ReplicaKilled, Outage::ReplicaPaused, Outage::ReplicaDrained, Outage::ConnectionsLost];

    /// Those of the database.
    pub const OF_THE_DATABASE: &[Outage] = &[Outage::DatabaseRestarted, Outage::FailedOver, Outage::PowerCut];

    /// Those that are worst between a commit and its answer.
    pub const OF_A_COMMIT: &[Outage] = &[
        Outage::ReplicaKilled,
        Outage::ReplicaKilled,
        Outage::ReplicaPaused,
        Outage::ConnectionsLost,
        Outage::DatabaseRestarted,
        Outage::FailedOver,
    ];
}
