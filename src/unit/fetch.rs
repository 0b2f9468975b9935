//! What operators have sent to them: files that are kept, and pictures of now. Pictures
//! and video in which nobody is hidden go out only where the configuration says so.

use std::fs::File;
use std::io;
use std::path::PathBuf;

use crossbeam_channel::TrySendError;
use uuid::Uuid;

use super::portraits::{Ask, Askers};
use crate::config::{Config, People};
use crate::control::{Answering, OutgoingFile, PORTRAIT_WIDTHS, Portrait, Reason, Refusal};
use crate::evidence::{Item, Kind, Withheld};

/// See the module's description.
#[derive(Debug)]
pub struct Fetch {
    folder: PathBuf,
    clear: bool,
    /// These may show more than the configuration allows now.
    withheld: Withheld,
    askers: Askers,
}

impl Fetch {
    /// What there is by `config`, but nothing of what is `withheld`; its cameras are
    /// asked by `askers`.
    pub fn new(config: &Config, withheld: Withheld, askers: Askers) -> Fetch {
        Fetch { folder: config.evidence_folder(), clear: config.privacy.people == People::Clear, withheld, askers }
    }

    /// A file that is kept, from byte `from` on. Reads all of it.
    ///
    /// # Errors
    /// A refusal in plain words.
    pub fn kept(&self, kind: Kind, id: Uuid, from: u64) -> Result<OutgoingFile, Refusal> {
        if kind != Kind::Small && !self.clear {
            let why = "nobody is hidden in it, and privacy.people is not \"clear\"";
            return Err(Refusal::new(Reason::Privacy, why));
        }
        let item = Item::new(kind, id);
        if self.withheld.holds(id) {
            let why = "it was made when pictures might show more than they may now, and stays on the unit";
            return Err(Refusal::new(Reason::Privacy, why));
        }
        let media = match kind {
            Kind::Clip => "video/mp4",
            Kind::Full | Kind::Small => "image/jpeg",
        };
        let unreadable = |e: io::Error| match e.kind() {
            io::ErrorKind::NotFound => Refusal::new(Reason::Missing, format!("there is no {}", item.name())),
            _ => Refusal::new(Reason::Failed, format!("{} cannot be read: {e}", item.name())),
        };
        let file = File::open(self.folder.join(item.name())).map_err(unreadable)?;
        OutgoingFile::on_disk(file, media, from)
    }

    /// A picture of now: the camera itself answers.
    pub fn now(&self, wanted: Portrait, answer: Answering) {
        if !PORTRAIT_WIDTHS.contains(&wanted.width) {
            let why = format!("'width' is from {} to {}", PORTRAIT_WIDTHS.start(), PORTRAIT_WIDTHS.end());
            return answer.send(Err(Refusal::new(Reason::Range, why)));
        }
        let Some(asker) = self.askers.get(&wanted.cam) else {
            return answer.send(Err(Refusal::new(Reason::Missing, "there is no camera of this name")));
        };
        match asker.try_send(Ask { wanted, answer }) {
            Ok(()) => {}
            Err(TrySendError::Full(Ask { answer, .. })) => {
                answer.send(Err(Refusal::new(Reason::Busy, "another picture of this camera is under way")));
            }
            Err(TrySendError::Disconnected(Ask { answer, .. })) => {
                answer.send(Err(Refusal::new(Reason::Missing, "this camera is not watched")));
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::portraits::channels;
    use super::*;
    use crate::config::{CameraConfig, EvidenceConfig, PrivacyConfig};
    use std::sync::Arc;

    fn fetch(folder: &std::path::Path, people: People) -> Fetch {
        fetch_but(folder, people, Withheld::default())
    }

    fn fetch_but(folder: &std::path::Path, people: People, withheld: Withheld) -> Fetch {
        let config = Config {
            evidence: EvidenceConfig { path: Some(folder.to_owned()), ..EvidenceConfig::default() },
            privacy: PrivacyConfig { people },
            ..Config::default()
        };
        Fetch::new(&config, withheld, Askers::new())
    }

    #[test]
    fn what_shows_people_goes_out_only_where_the_configuration_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let id: Uuid = "019a0000-0000-7000-8000-000000000001".parse().unwrap();
        for kind in Kind::ALL {
            let path = dir.path().join(Item::new(kind, id).name());
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, kind.plural()).unwrap();
        }
        let reason = |people, kind, id| fetch(dir.path(), people).kept(kind, id, 0).map(drop).map_err(|r| r.reason);
        assert_eq!(reason(People::Blocks, Kind::Small, id), Ok(()));
        for kind in [Kind::Full, Kind::Clip] {
            assert_eq!(reason(People::Blocks, kind, id), Err(Reason::Privacy));
            assert_eq!(reason(People::Clear, kind, id), Ok(()));
            assert_eq!(reason(People::Blocks, kind, Uuid::max()), Err(Reason::Privacy), "there or not");
            for nobodys in [Uuid::nil(), Uuid::max()] {
                assert_eq!(reason(People::Clear, kind, nobodys), Err(Reason::Missing));
            }
        }
        // It has been stricter since; of what came later nothing is held back.
        let these = |id: Uuid| Withheld::These([id].into());
        for (withheld, outcome) in
            [(these(id), Err(Reason::Privacy)), (Withheld::All, Err(Reason::Privacy)), (these(Uuid::max()), Ok(()))]
        {
            let fetch = fetch_but(dir.path(), People::Clear, withheld);
            for kind in Kind::ALL {
                assert_eq!(fetch.kept(kind, id, 0).map(drop).map_err(|r| r.reason), outcome);
            }
        }
        let clip = fetch(dir.path(), People::Clear).kept(Kind::Clip, id, 3).unwrap();
        assert_eq!((clip.head().media, clip.head().bytes, clip.head().from), ("video/mp4", 5, 3));
    }

    #[test]
    fn one_waits_for_a_camera_and_others_are_told() {
        let cameras = [CameraConfig { name: "road".into(), ..CameraConfig::default() }];
        let (askers, mut asks) = channels(&cameras);
        let fetch = Fetch::new(&Config::default(), Withheld::default(), askers);
        let now = |cam: &str, width: u64| {
            let (answer, mut receiver) = Answering::new(Arc::default());
            fetch.now(Portrait { cam: cam.into(), draw: false, width }, answer);
            receiver.try_recv().ok().map(|outcome| outcome.unwrap_err().reason)
        };
        assert_eq!(now("path", 960), Some(Reason::Missing));
        assert_eq!((now("road", 159), now("road", 1921)), (Some(Reason::Range), Some(Reason::Range)));
        assert_eq!((now("road", 960), now("road", 960)), (None, Some(Reason::Busy)));
        asks.clear();
        assert_eq!(now("road", 960), Some(Reason::Missing));
    }
}
