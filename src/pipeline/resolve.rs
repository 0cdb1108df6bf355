//! From what the files say to what is meant: names resolved, defaults set, everything checked.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use toml_span::value::ValueInner;
use toml_span::{DeserError, Spanned};

use super::resolve_output::resolve_output;
use super::source_names::{glob_fault, path_fault};
use super::words::is_word;
use super::{
    EnrichmentSettings, Framing, NamedFile, OnEmpty, Output, Parameter, ParameterType, Pipeline,
    Quarantine, Reference, ReferenceFormat, Resources, Secret, Source, View, parameters,
};
use crate::base::config::paths::{PIPELINE_DIR, anchor_paths, tidy_paths};
use crate::base::config::section::{Findings, Section};
use crate::base::config::time_zone::parse_time_zone;
use crate::base::config::variables::{Lookup, substitute_variables};
use crate::base::config::{ConfigFile, line_and_column};
use crate::base::error::Diagnostic;
use crate::base::interval::PathTemplate;
use crate::contract::{Column, ColumnType, Contract, parse_contract};
use crate::enrich::TaxUnknown;

/// The texts that define a pipeline.
#[derive(Debug, Clone)]
pub struct PipelineFiles {
    /// The folder, as the user named it.
    pub folder: PathBuf,
    /// `pipeline.toml`
    pub pipeline: ConfigFile,
    /// `contract.toml`
    pub contract: ConfigFile,
    /// All `*.sql`, by name.
    pub sql: Vec<ConfigFile>,
}

/// The contract's table in SQL; no view or reference may take its name.
pub const LOGS: &str = "logs";

/// Parameters that every pipeline has: the interval's bounds.
pub const BUILT_IN_PARAMETERS: [&str; 2] = ["interval_start", "interval_end"];

/// Resolves a pipeline, with the environment's variables from `lookup`.
///
/// Gives the pipeline as far as it can be told, so that its SQL files can be checked too, and all
/// that is wrong with any of the files; it is fit to run only if that is nothing.
pub fn resolve_pipeline(
    files: PipelineFiles,
    lookup: Lookup<'_>,
) -> (Option<Pipeline>, Vec<Diagnostic>) {
    let mut found = Findings { file: &files.pipeline, diagnostics: Vec::new() };
    let contract = parse_contract(&files.contract)
        .map_err(|diagnostics| found.diagnostics.extend(diagnostics))
        .ok();
    let pipeline = resolve_file(&files, contract, lookup, &mut found);
    if let Some(pipeline) = &pipeline {
        check_partition_columns(pipeline, &mut found);
    }
    (pipeline, found.diagnostics)
}

/// Reads `pipeline.toml`; without a contract only for its errors.
fn resolve_file(
    files: &PipelineFiles,
    contract: Option<Contract>,
    lookup: Lookup<'_>,
    found: &mut Findings<'_>,
) -> Option<Pipeline> {
    let mut value = match toml_span::parse(&files.pipeline.text) {
        Ok(value) => value,
        Err(error) => {
            let error = DeserError { errors: vec![error] };
            found.diagnostics.extend(files.pipeline.diagnostics(&error));
            return None;
        }
    };
    let mut errors = Vec::new();
    if lookup(PIPELINE_DIR).is_some() {
        anchor_paths(&mut value);
    }
    substitute_variables(&mut value, lookup, &mut errors);
    tidy_paths(&mut value);
    found.diagnostics.extend(files.pipeline.diagnostics(&DeserError { errors }));
    Section::read(&mut value, found, |section, found| {
        resolve_sections(section, files, contract, found)
    })
}

fn resolve_sections(
    section: &mut Section<'_>,
    files: &PipelineFiles,
    contract: Option<Contract>,
    found: &mut Findings<'_>,
) -> Option<Pipeline> {
    let name = section.text("name");
    let name = resolve_name(name, files, found);
    let time_zone = resolve_time_zone(section, found);
    let source = section.required_section("source", found, resolve_source);
    let quarantine = section.required_section("quarantine", found, resolve_quarantine);
    let state = section.required_section("state", found, |s, _| s.required_text("location"));
    let enrichment = section.section("enrichment", found, resolve_enrichment).unwrap_or_default();
    let resources = section.section("resources", found, resolve_resources).unwrap_or_default();
    let parameters = resolve_parameters(section, found);
    let references = section.sections("reference", found, resolve_reference);
    let views = files.sql.iter().map(resolve_view).collect::<Vec<_>>();
    let outputs = section.sections("output", found, resolve_output);
    if outputs.is_empty() && found.diagnostics.is_empty() {
        found.at(section.span, "expected at least one `[[output]]`");
    }
    check_names(&views, &references, &outputs, found);
    Some(Pipeline {
        name,
        folder: files.folder.clone(),
        time_zone,
        source: source?,
        quarantine: quarantine?,
        state: state?.value,
        enrichment,
        resources,
        parameters,
        references,
        outputs,
        views,
        contract: contract?,
        file: files.pipeline.clone(),
        contract_file: files.contract.clone(),
    })
}

/// Bytes of a pipeline's name: files of the state that have it in their names add some to it.
const NAME_BYTES_MAX: usize = 200;

/// The pipeline's name: a safe word, since it is a directory in the state and the quarantine.
fn resolve_name(
    name: Option<Spanned<String>>,
    files: &PipelineFiles,
    found: &mut Findings<'_>,
) -> String {
    let folder = || {
        let canonical = files.folder.file_name().map(|n| n.to_string_lossy().into_owned());
        canonical.unwrap_or_else(|| "pipeline".to_owned())
    };
    let (name, span) = match name {
        Some(name) => (name.value, name.span),
        None => (folder(), toml_span::Span::new(0, 0)),
    };
    if !is_word(&name) {
        found.at(span, format!("pipeline name `{name}`: expected letters, digits, `_` and `-`"));
    } else if name.len() > NAME_BYTES_MAX {
        let message = format!(
            "pipeline name: {} characters, at most {NAME_BYTES_MAX}: it is a folder in the state",
            name.len()
        );
        let diagnostic = found.file.diagnostic(span, message);
        found.diagnostics.push(diagnostic.help("write a shorter `name`"));
    }
    name
}

fn resolve_time_zone(section: &mut Section<'_>, found: &mut Findings<'_>) -> chrono_tz::Tz {
    let Some(name) = section.text("time_zone") else { return chrono_tz::UTC };
    parse_time_zone(&name.value).unwrap_or_else(|advice| {
        let message = format!("unknown time zone `{}`", name.value);
        found.diagnostics.push(found.file.diagnostic(name.span, message).help(advice));
        chrono_tz::UTC
    })
}

fn resolve_source(section: &mut Section<'_>, found: &mut Findings<'_>) -> Option<Source> {
    let location = section.required_text("location");
    let path = match section.text("path") {
        None => PathTemplate::parse("").ok(),
        Some(path) => {
            if let Some((message, help)) = path_fault(&path.value) {
                let message = format!("`path` = `{}`: {message}", path.value);
                found.diagnostics.push(found.file.diagnostic(path.span, message).help(help));
            }
            let template = PathTemplate::parse(&path.value)
                .map_err(|message| found.at(path.span, format!("`path`: {message}")))
                .ok();
            if let Some((what, help)) = template.as_ref().and_then(PathTemplate::left_out) {
                let message = format!(
                    "`path` = `{}`: it names {what}, so that several intervals would read the same \
                     folder",
                    path.value
                );
                found.diagnostics.push(found.file.diagnostic(path.span, message).help(help));
            }
            template
        }
    };
    let glob = section.text("glob");
    if let Some(glob) = &glob
        && let Some((message, help)) = glob_fault(&glob.value)
    {
        let message = format!("`glob` = `{}`: {message}", glob.value);
        found.diagnostics.push(found.file.diagnostic(glob.span, message).help(help));
    }
    let framings = [
        ("auto", Framing::Auto),
        ("lines", Framing::Lines),
        ("values", Framing::Values),
        ("array", Framing::Array),
    ];
    let framing = section.choice("framing", &framings, found);
    let unreadable_objects_max = section.number::<u64>("max_unreadable_objects", found);
    let on_empty = [OnEmpty::Keep, OnEmpty::Replace, OnEmpty::Fail];
    let on_empty = section.choice("on_empty", &on_empty.map(|it| (it.name(), it)), found);
    let declared = section.texts("partition_columns");
    let path = path?;
    let mut partition_columns = path.columns();
    for column in declared {
        if !partition_columns.contains(&column.value) {
            partition_columns.push(column.value);
        }
    }
    let location = location?;
    Some(Source {
        place: line_and_column(&found.file.text, location.span.start),
        location: location.value,
        path,
        glob: glob.map(|glob| glob.value),
        partition_columns,
        framing,
        unreadable_objects_max: unreadable_objects_max.map_or(0, |max| max.value),
        on_empty,
    })
}

fn resolve_quarantine(section: &mut Section<'_>, found: &mut Findings<'_>) -> Option<Quarantine> {
    let location = section.required_text("location");
    let rejects_max = section.number::<u64>("max_rejects", found);
    let reject_ratio_max = section.number::<f64>("max_reject_ratio", found);
    if let Some(ratio) = &reject_ratio_max
        && !(0.0..=1.0).contains(&ratio.value)
    {
        let message = format!("`max_reject_ratio`: expected 0 to 1, found {}", ratio.value);
        found.at(ratio.span, message);
    }
    Some(Quarantine {
        location: location?.value,
        rejects_max: rejects_max.map(|n| n.value),
        reject_ratio_max: reject_ratio_max.map(|n| n.value),
    })
}

fn resolve_enrichment(
    section: &mut Section<'_>,
    found: &mut Findings<'_>,
) -> Option<EnrichmentSettings> {
    let named = |path: Spanned<String>| NamedFile {
        place: line_and_column(&found.file.text, path.span.start),
        path: PathBuf::from(path.value),
    };
    let geoip = section.texts("geoip").into_iter().map(named).collect();
    let tax_table = section.text("tax_table").map(named);
    let unknown = [("null", TaxUnknown::Null), ("error", TaxUnknown::Error)];
    let tax_unknown = section.choice("tax_unknown", &unknown, found);
    let mut keys = BTreeMap::new();
    for (name, mut key) in section.entries("keys", found) {
        match key.take_string(None) {
            Ok(text) if !text.is_empty() => {
                keys.insert(name.value, Secret::new(text));
            }
            Ok(_) => found.at(name.span, format!("key `{}` is empty", name.value)),
            Err(_) => found.at(name.span, format!("key `{}`: expected a text", name.value)),
        }
    }
    Some(EnrichmentSettings { geoip, tax_table, tax_unknown, keys })
}

/// Below this the engine, the writers and a geographic database cannot live together.
const MEMORY_LIMIT_BYTES_MIN: u64 = 256 << 20;

fn resolve_resources(section: &mut Section<'_>, found: &mut Findings<'_>) -> Option<Resources> {
    let default = Resources::default();
    let memory_limit_bytes = section.byte_size("memory_limit", found);
    if memory_limit_bytes.is_some_and(|limit| limit < MEMORY_LIMIT_BYTES_MIN) {
        let given = memory_limit_bytes.unwrap_or_default();
        let message = format!(
            "`memory_limit`: expected at least 256MiB ({MEMORY_LIMIT_BYTES_MIN} bytes), found \
             {given} bytes"
        );
        found.at(section.span, message);
    }
    let threads = section.number::<usize>("threads", found);
    let writers = section.number::<usize>("max_open_writers", found);
    for (name, number) in [("threads", &threads), ("max_open_writers", &writers)] {
        if let Some(number) = number
            && !(1..=1024).contains(&number.value)
        {
            let message = format!("`{name}`: expected 1 to 1024, found {}", number.value);
            found.at(number.span, message);
        }
    }
    let steps = section.number::<u64>("recursion_steps_max", found);
    if let Some(steps) = &steps
        && steps.value == 0
    {
        found.at(steps.span, "`recursion_steps_max`: expected at least 1, found 0");
    }
    Some(Resources {
        memory_limit_bytes: memory_limit_bytes.unwrap_or(default.memory_limit_bytes),
        threads: threads.map(|n| n.value),
        open_writers_max: writers.map_or(default.open_writers_max, |n| n.value),
        spill: section.text("spill").map(|path| PathBuf::from(path.value)),
        recursion_steps_max: steps.map_or(default.recursion_steps_max, |n| n.value),
    })
}

fn resolve_parameters(
    section: &mut Section<'_>,
    found: &mut Findings<'_>,
) -> BTreeMap<String, Parameter> {
    let mut resolved = BTreeMap::new();
    for (name, mut value) in section.entries("parameters", found) {
        if BUILT_IN_PARAMETERS.contains(&name.value.as_str()) {
            let message = format!("parameter `{}` is the interval's own", name.value);
            found.at(name.span, message);
        }
        if let Some(parameter) = Section::read(&mut value, found, resolve_parameter) {
            resolved.insert(name.value, parameter);
        }
    }
    resolved
}

fn resolve_parameter(section: &mut Section<'_>, found: &mut Findings<'_>) -> Option<Parameter> {
    let type_name = section.required_text("type");
    let default = section.scalar_text("default");
    let type_name = type_name?;
    let Some(parameter_type) = ParameterType::of_name(&type_name.value) else {
        found.unknown("parameter type", &type_name, &parameters::TYPE_NAMES);
        return None;
    };
    let default = default.and_then(|text| {
        let parsed = parameter_type.parse(&text.value);
        parsed.map_err(|message| found.at(text.span, format!("`default`: {message}"))).ok()
    });
    Some(Parameter { parameter_type, default })
}

fn resolve_reference(section: &mut Section<'_>, found: &mut Findings<'_>) -> Option<Reference> {
    let name = section.required_text("name");
    let location = section.required_text("location");
    let formats = [
        ("csv", ReferenceFormat::Csv),
        ("parquet", ReferenceFormat::Parquet),
        ("ndjson", ReferenceFormat::Ndjson),
    ];
    let format = section.choice("format", &formats, found);
    let types = resolve_types(section, format, found);
    let place = line_and_column(&found.file.text, section.span.start);
    Some(Reference { name: name?.value, location: location?.value, format, types, place })
}

/// `types = { opened = "date" }`.
fn resolve_types(
    section: &mut Section<'_>,
    format: ReferenceFormat,
    found: &mut Findings<'_>,
) -> BTreeMap<String, ColumnType> {
    let mut types = BTreeMap::new();
    for (name, mut value) in section.entries("types", found) {
        let span = value.span;
        if format == ReferenceFormat::Parquet {
            found.at(name.span, "`types`: parquet has types of its own; leave this out");
            continue;
        }
        let ValueInner::String(text) = value.take() else {
            found.at(span, format!("`types`: expected a type's name for `{}`", name.value));
            continue;
        };
        match ColumnType::of_name(&text) {
            Ok(column_type) => drop(types.insert(name.value, column_type)),
            Err(message) => found.at(span, message),
        }
    }
    types
}

fn resolve_view(file: &ConfigFile) -> View {
    let stem = file.path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    View { name: stem.unwrap_or_default(), file: file.clone() }
}

/// Tables, views and outputs each have names of their own, and outputs name views that exist.
fn check_names(
    views: &[View],
    references: &[Reference],
    outputs: &[Output],
    found: &mut Findings<'_>,
) {
    let mut tables = BTreeSet::from([LOGS.to_owned()]);
    for reference in references {
        if !tables.insert(reference.name.clone()) {
            let message = format!("table `{}` is defined twice", reference.name);
            found.diagnostics.push(in_pipeline(found.file, reference.place, message));
        }
    }
    for view in views {
        let legal = is_word(&view.name) && view.name == view.name.to_lowercase();
        let message = if !legal {
            format!("view `{}`: expected lower-case letters, digits and `_`", view.name)
        } else if !tables.insert(view.name.clone()) {
            format!("view `{}` has the name of another table", view.name)
        } else {
            continue;
        };
        found.diagnostics.push(Diagnostic::new(message).in_file(&view.file.path));
    }
    let mut names = BTreeSet::new();
    let mut table_names = BTreeSet::new();
    for output in outputs {
        for table in &output.tables {
            let name = output.table_name(&table.format);
            if names.contains(&output.name) || table_names.insert(name.to_lowercase()) {
                continue;
            }
            let message = format!(
                "output `{}`: another one's table is called `{name}` in Hive, too; choose another \
                 name",
                output.name
            );
            found.diagnostics.push(in_pipeline(found.file, output.place, message));
        }
        if !names.insert(&output.name) {
            let message = format!("output `{}` is defined twice", output.name);
            found.diagnostics.push(in_pipeline(found.file, output.place, message));
        }
        if !views.iter().any(|view| view.name == output.view) {
            let known = views.iter().map(|view| view.name.as_str());
            let help = crate::base::config::suggestion(&output.view, known);
            let message = format!("output `{}`: no view `{}`", output.name, output.view);
            let diagnostic = in_pipeline(found.file, output.place, message);
            found.diagnostics.push(diagnostic.help(help));
        }
    }
}

fn in_pipeline(file: &ConfigFile, (line, column): (usize, usize), message: String) -> Diagnostic {
    Diagnostic::new(message).in_file(&file.path).at(line, column)
}

/// A directory's column must not hide a column of the contract.
fn check_partition_columns(pipeline: &Pipeline, found: &mut Findings<'_>) {
    for column in &pipeline.source.partition_columns {
        let same = |known: &Column| known.name.eq_ignore_ascii_case(column);
        if pipeline.contract.columns.iter().any(same) {
            let message = format!("`{column}` is both a directory's key and a contract's column");
            let diagnostic = in_pipeline(found.file, pipeline.source.place, message);
            found.diagnostics.push(diagnostic.help("give the contract's column another name"));
        }
    }
}
