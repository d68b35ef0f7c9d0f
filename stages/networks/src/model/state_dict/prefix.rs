//! Prefixes that wrappers of a network add to the names of its tensors.

/// Prefixes by `DataParallel`, `torch.compile`, Lightning modules, and networks that have the trunk as a field.
const PREFIXES: [&str; 10] = [
    "module.",
    "_orig_mod.",
    "model.",
    "net.",
    "network.",
    "backbone.",
    "encoder.",
    "trunk.",
    "state_dict.",
    "model_state_dict.",
];

/// Returns the known prefixes, one after the other, that all names share; empty if one name does not have them.
pub(super) fn shared<'a>(names: impl Iterator<Item = &'a str> + Clone) -> String {
    let Some(first) = names.clone().next() else { return String::new() };
    let mut length = 0;
    while let Some(prefix) = PREFIXES.iter().find(|&&prefix| first[length..].starts_with(prefix)) {
        let longer = &first[..length + prefix.len()];
        // A name must be left.
        if !names.clone().all(|name| name.len() > longer.len() && name.starts_with(longer)) {
            break;
        }
        length = longer.len();
    }
    first[..length].to_owned()
}

#[cfg(test)]
mod tests {
    use super::shared;

    #[test]
    fn prefixes_are_removed_one_after_the_other_if_all_names_share_them() {
        let table: [(&[&str], &str); 8] = [
            (&["module.conv1.weight", "module.bn1.bias"], "module."),
            (&["module.model.conv1.weight", "module.model.bn1.bias"], "module.model."),
            (&["model._orig_mod.backbone.a", "model._orig_mod.backbone.b"], "model._orig_mod.backbone."),
            (&["module.model.conv1.weight", "module.loss.weight"], "module."),
            (&["model.conv1.weight", "criterion.weight"], ""),
            (&["encoder.conv1.weight", "decoder.blocks.0.weight"], ""),
            (&["features.0.weight", "features.0.bias"], ""),
            (&["module.", "module.a"], ""),
        ];
        for (names, expected) in table {
            assert_eq!(shared(names.iter().copied()), expected, "{names:?}");
        }
        assert_eq!(shared(std::iter::empty()), "");
    }
}
