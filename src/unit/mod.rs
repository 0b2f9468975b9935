//! The assembly: the only module that knows all stages. It builds them from
//! the configuration, makes the threads and joins them with channels.

mod analysis;
mod coverage;
mod daemon;
mod fetch;
mod gating;
mod ids;
mod memory;
mod orders;
mod portraits;
mod privacy;
mod publish;
mod recorder;
mod recording;
mod report;
mod stamp_news;
mod timekeeping;
mod vision;
mod witness;

pub use analysis::{Analysis, AnalysisCounts, AnalysisError, SharedDetector};
pub use daemon::{RunError, run};
pub use gating::Gating;
pub use ids::IdMaker;
pub use publish::{PublishError, ReplayPublisher, replay_journal};
pub use recording::{Player, RecordingCounts, RecordingError};
pub use report::Reporter;
