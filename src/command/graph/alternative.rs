//! The same as a drawing, in words.

use super::drawing::{Arrow, Drawing};

/// Describes each box by a line: `cam, over model, fold. 10 nodes: 10 hit. Reads images from images, weights from train`.
pub(crate) fn alternative(drawing: &Drawing) -> Vec<String> {
    let line = |(place, drawn): (usize, &super::drawing::Drawn)| {
        let about = drawn.about.iter().map(|about| format!(", {about}")).collect::<String>();
        let count = if drawn.count.is_empty() { String::new() } else { format!(". {}", drawn.count) };
        let inputs: Vec<_> =
            drawing.arrows.iter().filter(|arrow| arrow.to == place).map(|it| input(drawing, it)).collect();
        let reads = if inputs.is_empty() { String::new() } else { format!(". Reads {}", inputs.join("; ")) };
        format!("{}{about}{count}{reads}", drawn.name)
    };
    drawing.boxes.iter().enumerate().map(line).collect()
}

fn input(drawing: &Drawing, arrow: &Arrow) -> String {
    let from = &drawing.boxes[arrow.from];
    let gathered =
        if arrow.gathered.is_empty() { String::new() } else { format!(", all of {}", arrow.gathered.join(", ")) };
    format!("{} from {}{gathered}", arrow.ports.join(", "), from.name)
}
