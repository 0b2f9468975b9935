//! Rules about objects: zones, tripwires, sightings, crossings, groups.
