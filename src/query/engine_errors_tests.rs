use std::sync::Arc;

use super::*;

fn full() -> io::Error {
    io::Error::from_raw_os_error(28)
}

#[test]
fn a_full_disk_is_found_however_it_is_wrapped() {
    let arrow = || ArrowError::IoError("writing".to_owned(), full());
    let wrapped: Vec<DataFusionError> = vec![
        DataFusionError::IoError(full()),
        DataFusionError::ArrowError(Box::new(arrow()), None),
        DataFusionError::Context(
            "sorting".to_owned(),
            Box::new(DataFusionError::ArrowError(Box::new(arrow()), None)),
        ),
        DataFusionError::Shared(Arc::new(DataFusionError::IoError(full()))),
        DataFusionError::External(Box::new(DataFusionError::IoError(full()))),
        DataFusionError::External(Box::new(arrow())),
        DataFusionError::ArrowError(
            Box::new(ArrowError::ExternalError(Box::new(DataFusionError::IoError(full())))),
            None,
        ),
        DataFusionError::Collection(vec![
            DataFusionError::Execution("another".to_owned()),
            DataFusionError::Shared(Arc::new(DataFusionError::IoError(full()))),
        ]),
        DataFusionError::IoError(io::Error::other(full())),
        DataFusionError::IoError(io::Error::other(format!("spilling: {}", full()))),
        DataFusionError::ParquetError(Box::new(
            datafusion::parquet::errors::ParquetError::External(Box::new(full())),
        )),
    ];
    for error in wrapped {
        let shown = format!("{error:?}");
        let found = with_spill_folder(engine_error(error), Path::new("/spill"));
        assert_eq!(found.exit_code(), 75, "{shown} → {found}");
        let text = found.to_string();
        assert!(text.contains("at /spill: no space left on device"), "{shown} → {text}");
        assert!(text.contains("`spill` under `[resources]`"), "{text}");
    }
}

#[test]
fn other_limits_of_the_machine_are_passing_failures_too() {
    for (number, word) in [(24, "ulimit"), (12, "memory_limit"), (5, "spill"), (122, "room")] {
        let error = DataFusionError::IoError(io::Error::from_raw_os_error(number));
        let found = engine_error(error);
        assert_eq!(found.exit_code(), 75, "{found}");
        assert!(found.to_string().contains(word), "{found}");
    }
}

#[test]
fn an_exhausted_pool_is_a_matter_of_configuration_however_it_is_wrapped() {
    let exhausted = || DataFusionError::ResourcesExhausted("no 5 MB for a sort".to_owned());
    for error in [
        exhausted(),
        DataFusionError::Context("x".to_owned(), Box::new(exhausted())),
        DataFusionError::Shared(Arc::new(exhausted())),
        DataFusionError::Collection(vec![DataFusionError::Internal("y".to_owned()), exhausted()]),
    ] {
        let found = engine_error(error);
        assert_eq!(found.exit_code(), 78, "{found}");
        assert!(found.to_string().contains("`memory_limit`"), "{found}");
    }
}

#[test]
fn an_error_of_our_own_comes_out_as_it_went_in() {
    let own = || Box::new(Error::Data("an expectation".to_owned()));
    for error in [
        DataFusionError::External(own()),
        DataFusionError::Shared(Arc::new(DataFusionError::External(own()))),
        DataFusionError::Shared(Arc::new(DataFusionError::Context(
            "x".to_owned(),
            Box::new(DataFusionError::External(own())),
        ))),
        DataFusionError::ArrowError(Box::new(ArrowError::ExternalError(own())), None),
    ] {
        assert_eq!(engine_error(error).to_string(), "an expectation");
    }
}

#[test]
fn a_regular_expression_keeps_its_whole_error() {
    let text = "Regular expression did not compile: regex parse error:\n    (a\n    ^\n\
                error: unclosed group";
    for error in [
        DataFusionError::Internal(text.to_owned()),
        DataFusionError::ArrowError(Box::new(ArrowError::ComputeError(text.to_owned())), None),
    ] {
        let found = engine_error(error);
        assert_eq!(found.exit_code(), 78, "{found}");
        assert!(found.to_string().contains("(a"), "{found}");
        assert!(found.to_string().contains("unclosed group"), "{found}");
    }
}

#[test]
fn a_folder_that_cannot_take_what_is_spilled_is_named_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    check_spill_folder(folder.path()).unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "x").unwrap();
    let missing = folder.path().join("missing");
    for (path, reason) in [(&file, "found a file"), (&missing, "no such folder")] {
        let text = check_spill_folder(path).unwrap_err().to_string();
        assert!(text.contains(reason) && text.contains("`spill`"), "{text}");
    }
}

#[test]
fn what_values_say_does_not_decide_what_an_error_is() {
    for value in ["No space left on device (os error 28)", "my regex", "Regular expression", "x"] {
        let quoted = format!("Cannot cast string '{value}' to value of Int32 type");
        for error in [
            DataFusionError::ArrowError(Box::new(ArrowError::CastError(quoted.clone())), None),
            DataFusionError::ArrowError(Box::new(ArrowError::ParseError(quoted.clone())), None),
            DataFusionError::ArrowError(Box::new(ArrowError::ComputeError(quoted.clone())), None),
            DataFusionError::Execution(quoted),
        ] {
            let found = engine_error(error);
            assert_eq!(found.exit_code(), 65, "{found}");
            assert!(found.to_string().contains(value), "{found}");
        }
    }
}

#[tokio::test]
async fn only_a_panic_of_offsets_is_of_the_size_of_a_column() {
    for (text, code) in [
        ("byte array offset overflow", 65),
        ("cannot show the value 'overflow'", 70),
        ("attempt to add with overflow", 70),
    ] {
        let panicked = tokio::spawn(async move { std::panic::panic_any(text) }).await;
        let found = task_error("rows", panicked.unwrap_err());
        assert_eq!(found.exit_code(), code, "{found}");
        assert!(found.to_string().contains(text), "{found}");
    }
}
