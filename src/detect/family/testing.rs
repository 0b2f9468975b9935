//! Tests of all families together: what is recognised as what, and that no
//! output whatever brings a decoder down.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::super::classes::{Classes, Detection};
use super::super::evidence::GroupColumns;
use super::super::finds::Finds;
use super::super::letterbox::{Fit, Letterbox};
use super::super::preprocess::{Channels, InputLayout, Sample, Scaling};
use super::*;
use crate::domain::{BBox, Group};

/// A model for 96 × 96 pixels, which has 189 cells.
const CELLS: i64 = 189;

fn model(outputs: &[(&str, &[i64])], named: Option<usize>) -> Signature {
    let output = |&(name, shape): &(&str, &[i64])| TensorInfo {
        name: name.to_owned(),
        kind: String::new(),
        element: Some(Element::Float),
        shape: shape.to_vec(),
    };
    let image = ImageInput {
        name: "images".to_owned(),
        sample: Sample::Float,
        layout: InputLayout::Chw,
        width: Some(96),
        height: Some(96),
    };
    let outputs = outputs.iter().map(output).collect();
    Signature { image, size: (96, 96), sizes: None, outputs, values: Vec::new(), about: String::new(), named }
}

fn family(outputs: &[(&str, &[i64])], named: Option<usize>) -> &'static str {
    recognise(&model(outputs, named), None).unwrap().head.name()
}

#[test]
fn each_family_is_known_by_its_outputs() {
    let only = |shape: &[i64], named| family(&[("output0", shape)], named);
    assert_eq!(only(&[1, 84, CELLS], None), "YOLOv8");
    assert_eq!(only(&[1, CELLS, 84], None), "YOLOv8");
    assert_eq!(only(&[1, 7, CELLS], Some(3)), "YOLOv8");
    assert_eq!(only(&[1, 3 * CELLS, 85], None), "YOLOv5");
    assert_eq!(only(&[1, 3 * CELLS + 27, 8], None), "YOLOv5");
    assert_eq!(only(&[1, CELLS, 85], None), "YOLOX");
    assert_eq!(only(&[1, 300, 6], None), "YOLO, end to end");
    assert_eq!(only(&[1, CELLS, 6], Some(3)), "YOLO, end to end");
    // Six columns may also be two classes or one.
    assert_eq!(only(&[1, CELLS, 6], Some(2)), "YOLOv8");
    assert_eq!(only(&[1, 3 * CELLS, 6], Some(1)), "YOLOv5");

    assert_eq!(family(&[("boxes", &[1, CELLS, 4]), ("scores", &[1, CELLS, 80])], None), "NanoDet");
    assert_eq!(family(&[("scores", &[1, CELLS, 2]), ("dist", &[1, CELLS, 44])], Some(2)), "NanoDet, raw heads");
    assert_eq!(family(&[("logits", &[1, 300, 80]), ("pred_boxes", &[1, 300, 4])], None), "RT-DETR, logits");
    let ssd: [(&str, &[i64]); 4] = [
        ("detection_boxes:0", &[1, 100, 4]),
        ("detection_classes:0", &[1, 100]),
        ("detection_scores:0", &[1, 100]),
        ("num_detections:0", &[1]),
    ];
    assert_eq!(family(&ssd, None), "TensorFlow SSD");
    let mut detr = model(&[("labels", &[1, 300]), ("boxes", &[1, 300, 4]), ("scores", &[1, 300])], None);
    assert!(recognise(&detr, None).unwrap_err().contains("orig_target_sizes"));
    detr.sizes = Some("orig_target_sizes".to_owned());
    assert_eq!(recognise(&detr, None).unwrap().head.name(), "RT-DETR");
}

#[test]
fn each_family_gets_the_picture_as_it_was_trained() {
    let input = |shape: &[i64]| recognise(&model(&[("output", shape)], None), None).unwrap().input;
    let yolox = input(&[1, CELLS, 85]);
    assert_eq!((yolox.fit, yolox.channels, yolox.padding), (Fit::TopLeft, Channels::Bgr, 114));
    assert_eq!(yolox.scaling, Scaling::NONE);
    let yolo = input(&[1, 84, CELLS]);
    assert_eq!((yolo.fit, yolo.channels, yolo.padding), (Fit::Centred, Channels::Rgb, 114));
    assert_eq!(yolo.scaling, Scaling::UNIT);
}

#[test]
fn a_named_family_is_believed_where_shapes_leave_a_choice() {
    let named = |shape: &[i64], family| recognise(&model(&[("output", shape)], None), Some(family));
    // YOLOv6 decodes, and has as many rows as YOLOX.
    assert_eq!(named(&[1, CELLS, 85], ModelFamily::YoloV5).unwrap().head.name(), "YOLOv5");
    assert_eq!(named(&[1, 5000, 6], ModelFamily::EndToEnd).unwrap().head.name(), "YOLO, end to end");
    let reason = named(&[1, CELLS, 84], ModelFamily::YoloX).unwrap_err();
    assert!(reason.contains("YOLOX has one output") && reason.contains("84"), "{reason}");
}

#[test]
fn other_models_are_refused_with_a_reason() {
    let reason = |outputs: &[(&str, &[i64])], named| recognise(&model(outputs, named), None).unwrap_err();
    assert!(reason(&[("out", &[1, 1000])], None).contains("out is [1, 1000]"));
    assert!(reason(&[("out", &[1, 84, CELLS])], Some(3)).contains("3 class names"));
    assert!(reason(&[("out", &[1, 116, CELLS]), ("protos", &[1, 32, 24, 24])], Some(80)).contains("protos"));
    assert!(reason(&[("boxes", &[1, CELLS, 4]), ("scores", &[1, 7, 80])], None).contains("189"));
    assert!(reason(&[("logits", &[1, 300, 80]), ("pred_boxes", &[1, 7, 4])], None).contains("[1, Q, 4]"));
    assert!(reason(&[("scores", &[1, CELLS, 2]), ("dist", &[1, CELLS])], Some(2)).contains("dist is [1, 189]"));
    let mut odd = model(&[("boxes", &[1, CELLS, 4]), ("scores", &[1, CELLS, 80])], None);
    odd.size = (100, 96);
    assert!(recognise(&odd, None).unwrap_err().contains("not a multiple of 32"));
}

#[test]
fn yolox_tells_from_its_values_whether_the_graph_decodes() {
    let mut model = model(&[("output", &[1, CELLS, 8])], Some(3));
    let cells = grid::cells((96, 96));
    let rows = |place: fn(&grid::Cell) -> (f32, f32)| {
        let row = |cell: &grid::Cell| [place(cell).0, place(cell).1, 1.0, 1.0, 0.5, 0.5, 0.5, 0.5];
        vec![cells.iter().flat_map(row).collect::<Vec<f32>>()]
    };
    model.values = rows(|cell| ((cell.column + 0.3) * cell.stride, (cell.row + 0.9) * cell.stride));
    assert_eq!(recognise(&model, None).unwrap().head.name(), "YOLOX, decoded");
    model.values = rows(|_| (0.3, -0.4));
    assert_eq!(recognise(&model, None).unwrap().head.name(), "YOLOX");
    model.values = vec![vec![f32::NAN; CELLS as usize * 8]];
    assert_eq!(recognise(&model, None).unwrap().head.name(), "YOLOX");
}

#[test]
fn ultralytics_rt_detr_is_known_by_its_fractions() {
    let mut model = model(&[("output0", &[1, 50, 7])], Some(3));
    assert_eq!(recognise(&model, None).unwrap().head.name(), "YOLOv8");
    model.values = vec![[0.5, 0.4, 0.3, 0.9, 0.0, 0.1, 0.2].repeat(50)];
    let known = recognise(&model, None).unwrap();
    assert_eq!((known.head.name(), known.input.fit), ("RT-DETR, Ultralytics", Fit::Stretched));

    // Newer ones choose the class in the graph.
    model.outputs[0].shape = vec![1, 50, 6];
    model.values = vec![vec![0.0; 300]];
    assert_eq!(recognise(&model, None).unwrap().head.name(), "YOLO, end to end");
    assert_eq!(recognise(&model, Some(ModelFamily::Detr)).unwrap().head.name(), "RT-DETR, Ultralytics");
    model.about = "rtdetrdecoder".to_owned();
    let known = recognise(&model, None).unwrap();
    assert_eq!((known.head.name(), known.input.fit), ("RT-DETR, Ultralytics", Fit::Stretched));
}

fn image(element: Option<Element>, shape: &[i64]) -> Result<ImageInput, String> {
    ImageInput::of(&TensorInfo { name: "x".into(), kind: String::new(), element, shape: shape.to_vec() })
}

#[test]
fn inputs_of_every_type_layout_and_size_are_understood() {
    let of = |element, shape: &[i64]| {
        let image = image(Some(element), shape).unwrap();
        (image.sample, image.layout, image.width, image.height)
    };
    assert_eq!(of(Element::Byte, &[1, 48, 64, 3]), (Sample::Byte, InputLayout::Hwc, Some(64), Some(48)));
    assert_eq!(of(Element::Half, &[1, 3, 48, 64]), (Sample::Half, InputLayout::Chw, Some(64), Some(48)));
    assert_eq!(of(Element::Float, &[-1, 3, -1, 640]), (Sample::Float, InputLayout::Chw, Some(640), None));
    assert_eq!(of(Element::Byte, &[-1, -1, -1, 3]), (Sample::Byte, InputLayout::Hwc, None, None));
    assert_eq!(of(Element::Float, &[-1, -1, -1, -1]), (Sample::Float, InputLayout::Chw, None, None));
    for (element, shape) in [
        (Some(Element::Long), &[1, 3, 64, 64][..]),
        (None, &[1, 3, 64, 64]),
        (Some(Element::Float), &[2, 3, 64, 64]),
        (Some(Element::Float), &[1, 1, 64, 64]),
        (Some(Element::Float), &[1, 3, 1 << 40, 64]),
        (Some(Element::Float), &[1, 3, 0, 64]),
    ] {
        assert!(image(element, shape).is_err(), "{element:?} {shape:?}");
    }
}

/// One model of every kind of head.
fn heads() -> Vec<Box<dyn Head>> {
    let known = |outputs: &[(&str, &[i64])], change: &dyn Fn(&mut Signature)| {
        let mut model = model(outputs, Some(3));
        change(&mut model);
        recognise(&model, None).unwrap().head
    };
    let cells = grid::cells((96, 96));
    let decoded = move |model: &mut Signature| {
        let row = |cell: &grid::Cell| [cell.column * cell.stride, cell.row * cell.stride, 1., 1., 0., 0., 0., 0.];
        model.values = vec![cells.iter().flat_map(row).collect()];
    };
    let fractions = |model: &mut Signature| model.values = vec![vec![0.5; 50 * 7]];
    let sized = |model: &mut Signature| model.sizes = Some("sizes".to_owned());
    let boxes: (&str, &[i64]) = ("boxes", &[1, CELLS, 4]);
    let scores: (&str, &[i64]) = ("scores", &[1, CELLS, 3]);
    vec![
        known(&[boxes, scores], &|_| {}),
        known(&[("dist", &[1, CELLS, 32]), scores], &|_| {}),
        known(&[("output", &[1, CELLS, 8])], &|_| {}),
        known(&[("output", &[1, CELLS, 8])], &decoded),
        known(&[("output", &[1, 3 * CELLS, 8])], &|_| {}),
        known(&[("output", &[1, 7, CELLS])], &|_| {}),
        known(&[("output", &[1, CELLS, 7])], &|_| {}),
        known(&[("output", &[1, 50, 7])], &fractions),
        known(&[("output", &[1, 300, 6])], &|_| {}),
        known(&[("output", &[1, 300, 6])], &|model| model.about = "rt-detr".to_owned()),
        known(&[("labels", &[1, 50]), ("boxes", &[1, 50, 4]), ("scores", &[1, 50])], &sized),
        known(&[("logits", &[1, 50, 3]), ("pred_boxes", &[1, 50, 4])], &|_| {}),
        known(
            &[("detection_boxes", &[1, 50, 4]), ("detection_scores", &[1, 50]), ("detection_classes", &[1, 50])],
            &|_| {},
        ),
    ]
}

fn read(head: &mut dyn Head, outputs: &[&[f32]], min_confidence: f32) -> Vec<Detection> {
    let classes = Classes::new(["animal", "person", "vehicle"].map(str::to_owned).to_vec());
    let columns = GroupColumns::new(&classes);
    let fit = Letterbox::new(BBox::new(0.0, 0.0, 1.0, 1.0), (160, 90), (96, 96));
    let mut out = Vec::new();
    head.read(outputs, &mut Finds { columns: &columns, fit: &fit, min_confidence, out: &mut out });
    out
}

/// Numbers as a broken model may give them, most of them likely ones.
fn any_number() -> impl Strategy<Value = f32> {
    prop_oneof![4 => 0f32..1., 2 => -10f32..100., 1 => any::<f32>(), 1 => Just(f32::NAN), 1 => Just(f32::INFINITY)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_output_whatever_brings_a_decoder_down(
        outputs in prop::collection::vec(prop::collection::vec(any_number(), 0..300), 0..5), least in 0f32..1.,
    ) {
        let outputs: Vec<&[f32]> = outputs.iter().map(Vec::as_slice).collect();
        for mut head in heads() {
            for found in read(head.as_mut(), &outputs, least) {
                prop_assert!((0.0..=1.0).contains(&found.confidence), "{head:?} {found:?}");
                prop_assert!((0.0..=1.0).contains(&found.class_score), "{head:?} {found:?}");
                prop_assert!(found.confidence >= least * 0.999, "{head:?} {found:?}");
                let BBox { x, y, w, h } = found.bbox;
                prop_assert!(x >= 0.0 && y >= 0.0 && w > 0.0 && h > 0.0, "{head:?} {found:?}");
                prop_assert!(x + w <= 1.0001 && y + h <= 1.0001, "{head:?} {found:?}");
                prop_assert!(found.class < 3);
            }
        }
    }

    #[test]
    fn rows_and_columns_say_the_same(
        table in prop::collection::vec(prop::collection::vec(0f32..1., 7), 189), least in 0f32..1.,
    ) {
        let rows: Vec<f32> = table.iter().flatten().map(|value| value * 90.0).collect();
        let rows: Vec<f32> = rows.iter().enumerate().map(|(i, v)| if i % 7 < 4 { *v } else { v / 90.0 }).collect();
        let columns: Vec<f32> = (0..7).flat_map(|at| rows.iter().skip(at).step_by(7).copied()).collect();
        let mut by_row = recognise(&model(&[("o", &[1, CELLS, 7])], Some(3)), None).unwrap().head;
        let mut by_column = recognise(&model(&[("o", &[1, 7, CELLS])], Some(3)), None).unwrap().head;
        prop_assert_eq!(read(by_row.as_mut(), &[&rows], least), read(by_column.as_mut(), &[&columns], least));
    }
}

#[test]
fn doubt_about_the_object_is_shared_by_its_classes() {
    let classes = Classes::new(["car", "truck", "person"].map(str::to_owned).to_vec());
    let columns = GroupColumns::new(&classes);
    let fit = Letterbox::new(BBox::new(0.0, 0.0, 1.0, 1.0), (96, 96), (96, 96));
    let mut out = Vec::new();
    let mut finds = Finds { columns: &columns, fit: &fit, min_confidence: 0.1, out: &mut out };
    finds.scored(0.5, &[0.5, 0.5, 0.0], || Some([0.0, 0.0, 48.0, 48.0]));
    assert_eq!((out[0].group, out[0].confidence, out[0].class_score), (Group::Vehicle, 0.375, 0.25));
}
