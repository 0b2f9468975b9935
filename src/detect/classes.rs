//! Class names, the groups they belong to, and what a detection is.

use crate::domain::{BBox, Group};

/// One object found in one picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Detection {
    /// Where, in fractions of the upright picture, clipped to it.
    pub bbox: BBox,
    /// What kind of thing.
    pub group: Group,
    /// Combined evidence of all the group's classes, 0..=1.
    pub confidence: f32,
    /// The strongest class within the group: an index into [`Classes`].
    pub class: u16,
    /// That class's own score, 0..=1.
    pub class_score: f32,
}

/// Overlap (IoU) from which detections of different groups mean one object.
const SAME_PLACE: f32 = 0.5;

impl Detection {
    /// Whether it stands at the place of `bbox`.
    pub fn is_at(&self, bbox: &BBox) -> bool {
        self.bbox.iou(bbox) > SAME_PLACE
    }
}

/// The model's classes and their groups.
#[derive(Debug, Clone)]
pub struct Classes {
    names: Vec<String>,
    groups: Vec<Option<Group>>,
}

impl Classes {
    /// From the model's class names, in index order. Names that belong to no
    /// group (chair, kite, …) are known but never reported.
    pub fn new(names: Vec<String>) -> Classes {
        let groups = names.iter().map(|name| group_of(name)).collect();
        Classes { names, groups }
    }

    /// How many classes the model has.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// The name of class `index`; empty if there is no such class.
    pub fn name(&self, index: u16) -> &str {
        self.names.get(usize::from(index)).map_or("", String::as_str)
    }

    /// The group of class `index`, if it belongs to one.
    pub fn group(&self, index: u16) -> Option<Group> {
        self.groups.get(usize::from(index)).copied().flatten()
    }
}

/// COCO's and MegaDetector's names. Boats, trains and planes do not pass
/// mountain tracks and are left out: they only ever stand for mistakes there.
fn group_of(name: &str) -> Option<Group> {
    Some(match name {
        "person" => Group::Person,
        "bicycle" | "car" | "motorcycle" | "bus" | "truck" | "vehicle" => Group::Vehicle,
        "bird" | "cat" | "dog" | "horse" | "sheep" | "cow" | "elephant" | "bear" | "zebra" | "giraffe" | "animal" => {
            Group::Animal
        }
        _ => return None,
    })
}
