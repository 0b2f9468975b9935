//! Where objects count: include and exclude polygons.

use crate::config::{ZoneConfig, ZoneMode};
use crate::domain::{BBox, Point, polygon_contains};

/// A camera's zones.
#[derive(Debug, Clone, Default)]
pub struct Zones {
    include: Vec<Vec<Point>>,
    exclude: Vec<Vec<Point>>,
}

impl Zones {
    /// From the configuration.
    pub fn new(zones: &[ZoneConfig]) -> Zones {
        let of = |mode| zones.iter().filter(move |z| z.mode == mode).map(|z| z.polygon.clone()).collect();
        Zones { include: of(ZoneMode::Include), exclude: of(ZoneMode::Exclude) }
    }

    /// Whether an object with this box counts: the middle of its bottom edge
    /// is where it stands.
    pub fn admits(&self, bbox: &BBox) -> bool {
        // A hair above the edge: a box that touches the picture's bottom
        // would otherwise stand outside every polygon.
        let foot = Point::new(bbox.foot().x, bbox.foot().y.min(0.999));
        let inside = |polygons: &[Vec<Point>]| polygons.iter().any(|p| polygon_contains(p, foot));
        !inside(&self.exclude) && (self.include.is_empty() || inside(&self.include))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zone(mode: ZoneMode, x0: f32, x1: f32) -> ZoneConfig {
        let polygon = [[x0, 0.0], [x1, 0.0], [x1, 1.0], [x0, 1.0]].map(Point::from).to_vec();
        ZoneConfig { name: "z".into(), polygon, mode }
    }

    #[test]
    fn what_stands_in_an_excluded_zone_is_ignored() {
        let zones = Zones::new(&[zone(ZoneMode::Exclude, 0.0, 0.5)]);
        assert!(!zones.admits(&BBox::new(0.1, 0.5, 0.2, 0.5)));
        assert!(zones.admits(&BBox::new(0.6, 0.5, 0.2, 0.5)));
    }

    #[test]
    fn with_an_included_zone_nothing_else_counts() {
        let zones = Zones::new(&[zone(ZoneMode::Include, 0.5, 1.0), zone(ZoneMode::Exclude, 0.8, 1.0)]);
        assert!(zones.admits(&BBox::new(0.5, 0.5, 0.2, 0.5)));
        assert!(!zones.admits(&BBox::new(0.1, 0.5, 0.2, 0.5)));
        assert!(!zones.admits(&BBox::new(0.85, 0.5, 0.1, 0.5)));
    }
}
