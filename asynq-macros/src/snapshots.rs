//! What the macros generate, beside what they are given: `tests/expand`.
//!
//! After a change that is meant: `UPDATE_EXPANSIONS=1 cargo test -p asynq-macros snapshots`.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::{DeriveInput, ItemFn, Meta};

#[test]
fn expansions_are_as_written_down() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/expand");
    let mut seen = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let input = entry.unwrap().path();
        if input.to_string_lossy().ends_with(".expanded.rs") {
            continue;
        }
        compare(&input);
        seen += 1;
    }
    assert!(seen > 0);
}

#[test]
fn no_options_make_the_macros_panic() {
    let odd = [
        "",
        ",",
        ",,",
        "=",
        "name",
        "name =",
        "name = =",
        "name(",
        "name()",
        "= \"x\"",
        "\"x\"",
        "7",
        "name = \"x\",",
        "name = name = name",
        "name == \"x\"",
        "crate",
        "crate = ",
        "crate = crate",
        "crate = \"a b\"",
        "#",
        "'a",
        "name = \"x\" \"y\"",
        "derive()",
        "name = \"x\", derive(",
        "payload = a::b, name = \"x\"",
        "timeout = -1",
        "timeout = \"\"",
        "backoff = \"exp(\"",
        "backoff = \"exp(..)\"",
        "concurrency = 99999999999999999999",
        "max_retry = 5i128",
        "deadline = \"é\"",
        "r#name = \"x\"",
        "name = b\"x\"",
        "name = 'x'",
        "blocking blocking",
        "cron",
        "name = \"x\", cron = 7",
        "name = \"x\", cron = \"\"",
        "cron = \"é * * * *\", tz = \"é\", missed = \"run_all(\"",
        "name = \"x\", cron = \"@every 1s\", tz = \"UTC\", missed",
        "cron = CRON, tz(), missed = -1",
    ];
    for options in odd {
        let Ok(options) = options.parse::<TokenStream>() else {
            continue;
        };
        for item in [
            "fn f() {}",
            "async fn f(a: A, (b, c): B, _: State<C>) -> R {}",
            "fn f(&self, ...) {}",
            "struct S;",
            "impl S {}",
        ] {
            let item = item.parse().unwrap();
            crate::handler::expand(options.clone(), item);
        }
        let item = syn::parse_quote!(
            #[task(#options)]
            struct S<'a, T, const N: usize>;
        );
        crate::payload::derive(&item, &quote!(::asynq_core));
        let item = syn::parse_quote!(
            #[from_ref(#options)]
            struct S {
                #[from_ref(#options)]
                a: A,
                b: A,
            }
        );
        crate::from_ref::derive(&item);
    }
}

fn compare(input: &Path) {
    let expanded = formatted(&expand(&fs::read_to_string(input).unwrap()));
    let output = input.with_extension("expanded.rs");
    if std::env::var_os("UPDATE_EXPANSIONS").is_some() {
        fs::write(&output, expanded).unwrap();
        return;
    }
    let expected = fs::read_to_string(&output).unwrap_or_default();
    assert!(
        expanded == expected,
        "{} differs; this is what is generated now:\n{expanded}",
        output.display()
    );
}

fn expand(text: &str) -> TokenStream {
    if let Ok(mut function) = syn::parse_str::<ItemFn>(text) {
        let place = function
            .attrs
            .iter()
            .position(|attribute| attribute.path().is_ident("task"))
            .unwrap();
        let options = match function.attrs.remove(place).meta {
            Meta::List(list) => list.tokens,
            _ => TokenStream::new(),
        };
        return crate::handler::expand(options, function.to_token_stream());
    }
    let item: DeriveInput = syn::parse_str(text).unwrap();
    if text.contains("FromRef") {
        crate::from_ref::derive(&item)
    } else {
        crate::payload::derive(&item, &quote!(::asynq_server))
    }
}

fn formatted(tokens: &TokenStream) -> String {
    let mut rustfmt = Command::new("rustfmt")
        .args(["--edition", "2024", "--config", "max_width=100"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("rustfmt is a component of the toolchain");
    let input = rustfmt.stdin.take();
    input.unwrap().write_all(tokens.to_string().as_bytes()).unwrap();
    String::from_utf8(rustfmt.wait_with_output().unwrap().stdout).unwrap()
}
