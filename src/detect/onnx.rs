//! What an ONNX file says about other files: the weights that its exporter put
//! beside it. Reads only the way to them through the file's protobuf. Pure.

use std::collections::BTreeSet;

/// Graphs within graphs (branches, loops) deeper than this are none.
const DEEPEST: usize = 32;

/// More files than this are not the weights of one model.
pub const MOST_FILES: usize = 1_000;

/// The messages on the way to a tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Message {
    Model,
    Graph,
    Function,
    Node,
    Attribute,
    Tensor,
    SparseTensor,
    /// A key and a value about where a tensor's content lies.
    Place,
}

impl Message {
    /// The message in `field`, by the numbers of onnx.proto.
    fn within(self, field: u64) -> Option<Message> {
        Some(match (self, field) {
            (Message::Model, 7) | (Message::Attribute, 6 | 11) => Message::Graph,
            (Message::Model, 25) => Message::Function,
            (Message::Graph, 1) | (Message::Function, 7) => Message::Node,
            (Message::Graph, 5) | (Message::Attribute, 5 | 10) | (Message::SparseTensor, 1 | 2) => Message::Tensor,
            (Message::Graph, 15) | (Message::Attribute, 22 | 23) => Message::SparseTensor,
            (Message::Node, 5) => Message::Attribute,
            (Message::Tensor, 13) => Message::Place,
            _ => return None,
        })
    }
}

/// The names of all files in which `model` keeps tensors, as it writes them. What is
/// no ONNX names none: ONNX Runtime says what is wrong with it.
pub fn external_files(model: &[u8]) -> BTreeSet<String> {
    let mut files = BTreeSet::new();
    collect(model, Message::Model, 0, &mut files);
    files
}

fn collect(bytes: &[u8], message: Message, depth: usize, files: &mut BTreeSet<String>) {
    // A graph in a graph is five messages down.
    if depth > 5 * DEEPEST || files.len() > MOST_FILES {
        return;
    }
    let mut fields = Fields(bytes);
    let (mut key, mut value) = (&[][..], &[][..]);
    while let Some((field, content)) = fields.next_field() {
        match (message, field) {
            (Message::Place, 1) => key = content,
            (Message::Place, 2) => value = content,
            _ => {
                if let Some(inner) = message.within(field) {
                    collect(content, inner, depth + 1, files);
                }
            }
        }
    }
    if message == Message::Place && key == b"location" {
        files.insert(String::from_utf8_lossy(value).into_owned());
    }
}

/// The fields of a message.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    /// The next field and its bytes, which are empty for a number; `None` at the end,
    /// and where it is no protobuf.
    fn next_field(&mut self) -> Option<(u64, &'a [u8])> {
        let tag = self.number()?;
        let length = match tag & 7 {
            0 => {
                self.number()?;
                0
            }
            1 => 8,
            2 => usize::try_from(self.number()?).ok()?,
            // Groups, which are of old: what is in one is read as if it stood outside.
            3 | 4 => 0,
            5 => 4,
            _ => return None,
        };
        let (content, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some((tag >> 3, if tag & 7 == 2 { content } else { &[] }))
    }

    fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) = self.0.split_first()?;
            self.0 = rest;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }
}

#[cfg(test)]
pub mod testing {
    //! Writing small models.

    /// A field that holds bytes.
    pub fn field(number: u64, content: &[u8]) -> Vec<u8> {
        [varint(number << 3 | 2), varint(content.len() as u64), content.to_vec()].concat()
    }

    /// A field that holds a number.
    pub fn number(number: u64, value: u64) -> Vec<u8> {
        [varint(number << 3), varint(value)].concat()
    }

    fn varint(mut value: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        while value >= 0x80 {
            bytes.push(value as u8 | 0x80);
            value >>= 7;
        }
        bytes.push(value as u8);
        bytes
    }

    /// A tensor of f32 (1) or i64 (7) by its raw content.
    pub fn tensor(name: &str, kind: u64, dims: &[u64], raw: &[u8]) -> Vec<u8> {
        let dims: Vec<u8> = dims.iter().flat_map(|dim| number(1, *dim)).collect();
        [dims, number(2, kind), field(8, name.as_bytes()), field(9, raw)].concat()
    }

    /// A tensor of f32 whose content is in another file.
    pub fn external(name: &str, dims: &[u64], file: &str) -> Vec<u8> {
        let dims: Vec<u8> = dims.iter().flat_map(|dim| number(1, *dim)).collect();
        let entry =
            |key: &str, value: &str| field(13, &[field(1, key.as_bytes()), field(2, value.as_bytes())].concat());
        [dims, number(2, 1), field(8, name.as_bytes()), entry("location", file), number(14, 1)].concat()
    }

    /// A node with inputs, outputs and attributes.
    pub fn node(kind: &str, inputs: &[&str], outputs: &[&str], attributes: &[Vec<u8>]) -> Vec<u8> {
        let inputs = inputs.iter().flat_map(|name| field(1, name.as_bytes()));
        let outputs = outputs.iter().flat_map(|name| field(2, name.as_bytes()));
        let attributes = attributes.iter().flat_map(|attribute| field(5, attribute));
        inputs.chain(outputs).chain(field(4, kind.as_bytes())).chain(attributes).collect()
    }

    /// An input or output of f32.
    pub fn value(name: &str, dims: &[u64]) -> Vec<u8> {
        let shape: Vec<u8> = dims.iter().flat_map(|dim| field(1, &number(1, *dim))).collect();
        let tensor = [number(1, 1), field(2, &shape)].concat();
        [field(1, name.as_bytes()), field(2, &field(1, &tensor))].concat()
    }

    /// A model: input `images` [1, 3, 32, 32], outputs, nodes, tensors.
    pub fn model(outputs: &[Vec<u8>], nodes: &[Vec<u8>], tensors: &[Vec<u8>]) -> Vec<u8> {
        let graph = [
            nodes.iter().flat_map(|node| field(1, node)).collect(),
            field(2, b"graph"),
            tensors.iter().flat_map(|tensor| field(5, tensor)).collect(),
            field(11, &value("images", &[1, 3, 32, 32])),
            outputs.iter().flat_map(|output| field(12, output)).collect::<Vec<u8>>(),
        ]
        .concat();
        let names = [field(1, b"names"), field(2, b"['person', 'car', 'dog']")].concat();
        [number(1, 8), field(7, &graph), field(8, &number(2, 17)), field(14, &names)].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::testing::{external, field, model, node};
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn weights_are_found_wherever_a_model_has_tensors() {
        let inner = [field(2, b"branch"), field(5, &external("c", &[1], "sub/c.bin"))].concat();
        let attributes = [
            [field(1, b"value"), field(5, &external("b", &[1], "b.data"))].concat(),
            [field(1, b"then"), field(6, &inner)].concat(),
        ];
        let bytes = model(&[], &[node("If", &["x"], &["y"], &attributes)], &[external("a", &[4], "model.onnx.data")]);
        assert_eq!(external_files(&bytes).into_iter().collect::<Vec<_>>(), ["b.data", "model.onnx.data", "sub/c.bin"]);
        assert!(external_files(&model(&[], &[], &[])).is_empty());
        let mut deep = inner;
        for _ in 0..10_000 {
            deep = field(1, &field(5, &field(6, &deep)));
            deep.truncate(100_000);
        }
        external_files(&field(7, &deep));
    }

    proptest! {
        #[test]
        fn whatever_a_file_holds_can_be_looked_through(
            bytes in prop::collection::vec(any::<u8>(), 0..300), at in 0usize..200, byte: u8,
        ) {
            external_files(&bytes);
            let mut bytes = model(&[], &[], &[external("a", &[4], "model.onnx.data")]);
            let at = at % bytes.len();
            bytes[at] = byte;
            external_files(&bytes);
        }
    }
}
