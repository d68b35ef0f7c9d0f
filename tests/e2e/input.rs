//! Wrong, hostile or careless data: all problems are reported at once, and other nodes are not disturbed.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::Path;

use image::{GrayImage, Luma};

use crate::sandbox::Sandbox;

const IMAGES: &str = "\
[experiment]
name = \"input\"

[stages.images]
kind = \"dataset\"
format = \"manifest\"
path = \"data\"
";

/// A study of two folds from a manifest with a column `fold`.
const STUDY: &str = "
[axes]
fold = { folds = 2 }

[stages.split]
kind = \"split\"
inputs = { labels = \"images\" }
folds_from = \"fold\"

[stages.train]
kind = \"train\"
over = [\"fold\"]
inputs = { images = \"images\", split = \"split\" }
model = \"tiny\"
epochs = 1
batch_size = 4
";

fn picture(path: &Path, side: u32, level: u8) {
    fs::create_dir_all(path.parent().expect("a file has a folder")).expect("tests can make folders");
    let noise = |x: u32, y: u32| Luma([level.wrapping_add((x * 31 + y * 97) as u8 % 60)]);
    GrayImage::from_fn(side, side, noise).save(path).expect("tests can write");
}

#[test]
fn all_problems_of_a_manifest_and_its_files_are_named_before_anything_runs() {
    let sandbox = Sandbox::with_spec(IMAGES);
    picture(&sandbox.path("data/a.png"), 16, 0);
    picture(&sandbox.path("secret.png"), 16, 0);
    let mut csv = b"image,mask,label\na.png,,x\n../secret.png,,x\n/etc/passwd,,x\na.png,,y\nb.png,m.png,\n".to_vec();
    csv.extend(b",,x\nc\xff.png,,x\nd.png,x\na.png/../../secret.png,,x\n");
    sandbox.write("data/labels.csv", csv);
    let said = sandbox.orchestrate(&["run", "spec.toml"]);
    assert_eq!(said.code, Some(2), "{}", said.err);
    for problem in [
        "line 3: column `image` names `../secret.png`, which is not below the manifest's folder",
        "line 4: column `image` names `/etc/passwd`, which is not below the manifest's folder",
        "line 5: image `a.png` is also in line 2",
        "line 6: column `label` is empty",
        "line 7: column `image` is empty",
        "line 8 is not in UTF-8",
        "line 9 has 2 cells, but the header 3",
        "line 10: column `image` names `a.png/../../secret.png`",
        "cannot read DIR/data/b.png",
        "cannot read DIR/data/m.png",
    ] {
        assert!(said.err.contains(problem), "{problem} is not in:\n{}", said.err);
    }
    assert!(!sandbox.path(".orchestrate").exists(), "nothing ran");
}

#[test]
fn all_files_that_cannot_be_decoded_are_named_and_other_stages_run() {
    let sandbox = Sandbox::with_spec(IMAGES);
    let other = "\n[stages.other]\nkind = \"dataset\"\nformat = \"phantom\"\ncount = 3\nsize = 16\n";
    sandbox.edit("spec.toml", "path = \"data\"\n", &format!("path = \"data\"\n{other}"));
    for name in ["good", "bomb", "cut", "masked"] {
        picture(&sandbox.path(&format!("data/{name}.png")), 16, 0);
    }
    picture(&sandbox.path("data/mask.png"), 12, 200);
    sandbox.write("data/empty.png", "");
    sandbox.write("data/text.png", "no picture");
    let whole = fs::read(sandbox.path("data/cut.png")).unwrap();
    sandbox.write("data/cut.png", &whole[..whole.len() / 2]);
    sandbox.write("data/bomb.png", bomb(60_000));
    let rows = "good.png,\nbomb.png,\ncut.png,\nempty.png,\ntext.png,\nmasked.png,mask.png\n";
    sandbox.write("data/labels.csv", format!("image,mask,label\n{}", rows.replace('\n', ",x\n")));

    let run = sandbox.run(&[]);
    assert_eq!((run.said.code, run.with("failed")), (Some(1), vec!["images"]));
    assert_eq!(run.ran(), ["other"]);
    let said = sandbox.orchestrate(&["run", "spec.toml"]);
    assert!(said.err.contains("5 files cannot be used:"), "{}", said.err);
    for problem in [
        "bomb.png: the picture is too large",
        "cut.png: the PNG file is cut short",
        "empty.png: the file is empty",
        "text.png: the file is no PNG, JPEG or TIFF",
        "masked.png: the mask is 12 × 12, but the image 16 × 16",
    ] {
        assert!(said.err.contains(problem), "{problem} is not in:\n{}", said.err);
    }
}

/// A small PNG file whose header claims a square of that many pixels.
fn bomb(side: u32) -> Vec<u8> {
    let mut file = std::io::Cursor::new(Vec::new());
    GrayImage::new(8, 8).write_to(&mut file, image::ImageFormat::Png).expect("memory is writable");
    let mut bytes = file.into_inner();
    bytes[16..20].copy_from_slice(&side.to_be_bytes());
    bytes[20..24].copy_from_slice(&side.to_be_bytes());
    let crc = !bytes[12..29].iter().fold(!0_u32, |mut crc, &byte| {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg());
        }
        crc
    });
    bytes[29..33].copy_from_slice(&crc.to_be_bytes());
    bytes
}

#[test]
fn all_names_that_are_not_utf_8_are_reported() {
    let sandbox = Sandbox::with_spec(&IMAGES.replace("manifest", "folders"));
    picture(&sandbox.path("data/x/a.png"), 16, 0);
    for name in [&b"x/\xff.png"[..], b"x/\xfe_mask.png"] {
        fs::copy(sandbox.path("data/x/a.png"), sandbox.path("data").join(OsStr::from_bytes(name))).unwrap();
    }
    let said = sandbox.orchestrate(&["run", "spec.toml"]);
    assert_eq!(said.code, Some(2), "{}", said.err);
    assert_eq!(said.err.matches("is not in UTF-8").count(), 2, "{}", said.err);
}

#[test]
fn links_are_followed_and_count_as_their_targets() {
    let sandbox = Sandbox::with_spec(IMAGES);
    picture(&sandbox.path("elsewhere/1.png"), 16, 0);
    picture(&sandbox.path("elsewhere/2.png"), 16, 90);
    fs::create_dir(sandbox.path("data")).unwrap();
    let link = |to: &str| {
        let _ = fs::remove_file(sandbox.path("data/a.png"));
        symlink(sandbox.path(to), sandbox.path("data/a.png")).unwrap();
    };
    sandbox.write("data/labels.csv", "image,label\na.png,x\n");
    link("elsewhere/1.png");
    assert_eq!(sandbox.run_well(&[]).ran(), ["images"]);
    link("elsewhere/2.png");
    assert_eq!(sandbox.run_well(&[]).ran(), ["images"], "other contents");
    fs::copy(sandbox.path("elsewhere/1.png"), sandbox.path("elsewhere/3.png")).unwrap();
    link("elsewhere/3.png");
    assert_eq!(sandbox.run_well(&[]).ran(), [""; 0], "the contents of before");

    for (to, said_so) in [
        ("elsewhere/gone.png", "cannot read DIR/data/a.png"),
        ("elsewhere", "DIR/data/a.png: it is a folder, not a file"),
    ] {
        link(to);
        let said = sandbox.orchestrate(&["run", "spec.toml"]);
        assert_eq!(said.code, Some(2), "{}", said.err);
        assert!(said.err.contains(said_so), "{}", said.err);
    }
}

#[test]
fn class_that_is_missing_on_one_side_of_a_fold_and_losses_that_diverge_fail_their_node_only() {
    let sandbox = Sandbox::with_spec(&format!("{IMAGES}{STUDY}"));
    let mut csv = "image,label,fold\n".to_owned();
    for image in 0..12 {
        let (class, fold) = (image % 2, image / 6 + 1);
        // All images of the class `rare` are in fold 1, so a training without fold 1 never sees one.
        let label = if image < 2 { "rare" } else { ["dark", "bright"][class] };
        picture(&sandbox.path(&format!("data/{image}.png")), 16, 120 * class as u8);
        csv += &format!("{image}.png,{label},{fold}\n");
    }
    sandbox.write("data/labels.csv", csv);
    let run = sandbox.run(&[]);
    assert_eq!((run.said.code, run.with("failed")), (Some(1), vec!["train[fold=1]"]));
    assert_eq!(run.ran(), ["images", "split", "train[fold=2]"]);
    let said = sandbox.orchestrate(&["run", "spec.toml"]);
    assert!(said.err.contains("no training image of class `rare` is left outside fold 1"), "{}", said.err);

    sandbox.edit("spec.toml", "fold = { folds = 2 }", "fold = { folds = 2 }\nlearning_rate = [0.001, 1e20]");
    sandbox.edit("spec.toml", "over = [\"fold\"]", "over = [\"learning_rate\"]\nfold = 2\noptimizer = \"sgd\"");
    let run = sandbox.run(&["--set", "stages.split.folds=2"]);
    assert_eq!((run.said.code, run.with("failed")), (Some(1), vec!["train[learning_rate=100000000000000000000]"]));
    assert_eq!(run.ran(), ["train[learning_rate=0.001]"]);
    let said = sandbox.orchestrate(&["run", "spec.toml", "--set", "stages.split.folds=2"]);
    assert!(said.err.contains("in epoch 1, batch 2: the training diverged; lower `learning_rate`"), "{}", said.err);
}

#[test]
fn secret_is_in_no_file_and_no_message_and_not_in_the_key() {
    const SECRET: &str = "hunter2-f4d1c0ffee";
    const SPEC: &str = r#"
[experiment]
name = "secret"

[stages.good]
kind = "command"
argv = [
  "sh", "-c", 'echo "with $TOKEN"; echo "progress 1/2 $TOKEN"; echo "and $TOKEN" >&2; echo x > "$1/x"', "sh", "{out}"
]
secret_env = ["TOKEN"]

[stages.bad]
kind = "command"
argv = ["sh", "-c", 'printf "%01048570d%s" 0 "$TOKEN"; echo; echo "no $TOKEN" >&2; exit 3', "sh", "{out}"]
secret_env = ["TOKEN"]
"#;
    let sandbox = Sandbox::with_spec(SPEC);
    let run = |secret: &str, args: &[&str]| {
        let mut all = vec!["run", "spec.toml"];
        all.extend(args);
        let output = sandbox.command(&all).env("TOKEN", secret).env("RUST_LOG", "trace").output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(!said.contains(secret), "{said}");
        said
    };
    assert!(run(SECRET, &[]).contains("no ***"));
    let again = run("another-5ec2e7-one", &["--json"]);
    assert!(again.contains(r#""status":"hit""#), "{again}");
    let _ = sandbox.orchestrate(&["report", "spec.toml"]);
    let mut files = 0;
    each_file(&sandbox.path(""), &mut |path| {
        let bytes = fs::read(path).unwrap();
        files += 1;
        // A torn line may leave a prefix of the secret.
        for part in [&SECRET[..9], "another-5"] {
            let found = bytes.windows(part.len()).any(|window| window == part.as_bytes());
            assert!(!found, "`{part}` is in {}", path.display());
        }
    });
    assert!(files > 5, "there is a store");
}

fn each_file(dir: &Path, see: &mut dyn FnMut(&Path)) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { each_file(&path, see) } else { see(&path) }
    }
}

/// Anybody may write to a published folder; its record or a sidecar then names files that we would remove.
#[test]
fn record_or_sidecar_that_names_files_elsewhere_removes_none_of_them() {
    let spec = "[experiment]\nname = \"x\"\n[stages.a]\nkind = \"command\"\npublish = \"results\"\n\
                argv = [\"sh\", \"-c\", 'echo $1 > $2/x', \"sh\", \"{params.text}\", \"{out}\"]\n\
                params = { text = \"1\" }\n";
    let record = "results/.orchestrate-published.toml";
    for with_record in [true, false] {
        let sandbox = Sandbox::with_spec(spec);
        sandbox.run_well(&[]);
        sandbox.write("precious", "");
        sandbox.write("results/old", "");
        let absolute = sandbox.path("precious").display().to_string();
        let digest = "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"; // of nothing
        if with_record {
            let named = |name: &str| format!("files = [\n  \"0 0 {digest} {name}\",\n");
            for name in ["../precious", &absolute, "old"] {
                sandbox.edit(record, "files = [\n", &named(name));
            }
        } else {
            std::fs::remove_file(sandbox.path(record)).unwrap();
            let named = format!("\"../precious\", \"{absolute}\", \"old\", \"x\"\n");
            sandbox.edit("results/provenance.json", "\"x\"\n", &named);
        }
        sandbox.run_well(&["--set", "stages.a.params.text=2"]);
        assert_eq!(sandbox.read("results/x"), "2\n");
        assert!(sandbox.path("precious").exists(), "it lies outside");
        assert!(!sandbox.path("results/old").exists(), "an earlier publication's");
    }
}
