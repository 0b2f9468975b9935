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

    /// How many of them have a name.
    pub fn named(&self) -> usize {
        self.names.iter().filter(|name| !name.is_empty()).count()
    }

    /// Whether any of them belongs to a group.
    pub fn has_groups(&self) -> bool {
        self.groups.iter().any(Option::is_some)
    }

    /// The names of the first `limit`, for people.
    pub fn list(&self, limit: usize) -> String {
        let named: Vec<&str> = self.names.iter().filter(|name| !name.is_empty()).map(String::as_str).collect();
        let rest = if named.len() > limit { ", …" } else { "" };
        named.iter().copied().take(limit).collect::<Vec<_>>().join(", ") + rest
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

/// COCO's and MegaDetector's names, and what other data sets call the same
/// things, in any case. Boats, trains and planes do not pass mountain tracks
/// and are left out: they only ever stand for mistakes there.
fn group_of(name: &str) -> Option<Group> {
    Some(match name.to_lowercase().as_str() {
        "person" | "people" | "human" | "pedestrian" | "man" | "woman" | "child" => Group::Person,
        "bicycle" | "car" | "motorcycle" | "bus" | "truck" | "vehicle" | "bike" | "cyclist" | "motorbike" | "van"
        | "lorry" | "pickup" | "tractor" => Group::Vehicle,
        "bird" | "cat" | "dog" | "horse" | "sheep" | "cow" | "elephant" | "bear" | "zebra" | "giraffe" | "animal"
        | "deer" | "fox" | "goat" | "pig" | "boar" | "wild boar" | "wolf" | "rabbit" | "hare" | "cattle" => {
            Group::Animal
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_grouped_in_any_case_and_others_left_out() {
        let names = ["Person", "Motorbike", "deer", "chair", "", "boat"].map(str::to_owned).to_vec();
        let classes = Classes::new(names);
        let groups: Vec<_> = (0..7).map(|class| classes.group(class)).collect();
        assert_eq!(groups[..3], [Some(Group::Person), Some(Group::Vehicle), Some(Group::Animal)]);
        assert_eq!(groups[3..], [None; 4]);
        assert!(classes.has_groups());
        assert_eq!(classes.list(2), "Person, Motorbike, …");
        assert!(!Classes::new(vec!["chair".to_owned()]).has_groups());
    }
}
