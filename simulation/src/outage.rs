//! The kinds of outages.

/// A fault that lasts for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outage {
    /// All messages between an edge and the service are lost.
    EdgeCutOff,
    /// The syncs of an edge are lost, its lookups are not.
    SyncsCutOff,
    /// The process of an edge is paused.
    EdgePaused,
    /// The machine of an edge is suspended: its monotonic clock stops too.
    EdgeSuspended,
    /// An edge restarts with an empty cache.
    EdgeRestarted,
    /// The wall clock of an edge is set.
    WallClockSet,
    /// A replica is killed and started again.
    ReplicaKilled,
    /// A replica is paused.
    ReplicaPaused,
    /// A replica drains: it answers the syncs that it holds, serves a while longer, ends and is started again.
    ReplicaDrained,
    /// The connections of a replica to the database break.
    ConnectionsLost,
    /// The database crashes and recovers, without the leases.
    DatabaseRestarted,
    /// A standby takes over from the database. It may lack the latest changes and has no leases.
    FailedOver,
    /// All replicas and the database go down at once.
    PowerCut,
}

impl Outage {
    /// Outages of edges.
    pub(crate) const OF_EDGES: &[Outage] = &[
        Outage::EdgeCutOff,
        Outage::SyncsCutOff,
        Outage::EdgePaused,
        Outage::EdgeSuspended,
        Outage::EdgeRestarted,
        Outage::WallClockSet,
    ];

    /// Outages of replicas.
    pub(crate) const OF_REPLICAS: &[Outage] =
        &[Outage::ReplicaKilled, Outage::ReplicaPaused, Outage::ReplicaDrained, Outage::ConnectionsLost];

    /// Outages of the database.
    pub(crate) const OF_THE_DATABASE: &[Outage] =
        &[Outage::DatabaseRestarted, Outage::FailedOver, Outage::PowerCut];

    /// Outages that are worst between a commit and its answer.
    pub(crate) const OF_A_COMMIT: &[Outage] = &[
        Outage::ReplicaKilled,
        Outage::ReplicaKilled,
        Outage::ReplicaPaused,
        Outage::ConnectionsLost,
        Outage::DatabaseRestarted,
        Outage::FailedOver,
    ];
}
