//! The function under `#[task]`: what each argument is for, and what is wrong with its signature.

use proc_macro2::Span;
use quote::ToTokens;
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::{Attribute, FnArg, Ident, ItemFn, Pat, PatType, ReturnType, Safety, Type};

use crate::errors::Errors;

/// What a handler can ask for besides its payload, by the last part of its path.
pub(crate) const EXTRACTORS: [&str; 7] = [
    "State",
    "Context",
    "TaskId",
    "QueueName",
    "Attempt",
    "Headers",
    "RawTask",
];

/// For so many is `IntoTaskHandler` implemented.
const MAX_ARGUMENTS: usize = 16;

const LIST: &str = "State<T>, Context, TaskId, QueueName, Attempt, Headers or RawTask";

/// An argument, with the attributes that are not for us.
pub(crate) struct Argument {
    pub(crate) ty: Type,
    /// Its name, if it has one.
    pub(crate) name: Option<Ident>,
    pub(crate) role: Role,
    /// For a field of the payload: `serde` attributes and documentation.
    pub(crate) attrs: Vec<Attribute>,
}

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Role {
    /// All of the payload.
    Payload,
    /// A field of the payload.
    Field,
    /// Asked for.
    Extracted,
}

/// Whether the function can be called through a pointer, although there may be mistakes in it.
pub(crate) fn is_callable(function: &ItemFn) -> bool {
    let signature = &function.sig;
    signature.generics.params.is_empty()
        && signature.receiver().is_none()
        && signature.variadic.is_none()
        && signature.abi.is_none()
        && matches!(signature.safety, Safety::Default)
        && signature.inputs.iter().all(|input| match input {
            FnArg::Typed(argument) => is_plain(&argument.ty),
            FnArg::Receiver(_) => false,
        })
        && !matches!(&signature.output, ReturnType::Type(_, ty) if matches!(**ty, Type::ImplTrait(_)))
}

/// Whether a value of the type can be owned and its name written.
pub(crate) fn is_plain(ty: &Type) -> bool {
    !matches!(ty, Type::Reference(_) | Type::ImplTrait(_) | Type::Infer(_))
}

/// Notes what makes a function unfit for a handler, apart from its arguments.
pub(crate) fn check_signature(function: &ItemFn, blocking: Option<Span>, errors: &mut Errors) {
    let signature = &function.sig;
    match (signature.asyncness, blocking) {
        (None, None) => errors.at(
            signature.fn_token,
            "a task handler is an `async fn`; for one that blocks its thread write `#[task(blocking)]`",
        ),
        (Some(_), Some(blocking)) => errors.at_span(
            blocking,
            "`blocking` is for a `fn` that is not async: remove one of the two",
        ),
        _ => {}
    }
    if let Some(extra) = signature.inputs.iter().nth(MAX_ARGUMENTS) {
        errors.at(
            extra,
            format!("a task handler has at most {MAX_ARGUMENTS} arguments: put some of them in a struct"),
        );
    }
    if !signature.generics.params.is_empty() {
        errors.at(
            &signature.generics,
            "a task handler cannot be generic: it handles the tasks of one payload type, and owns its arguments",
        );
    }
    if let Safety::Unsafe(token) = &signature.safety {
        errors.at(token, "a task handler cannot be unsafe: the server calls it");
    }
    if let Some(token) = &signature.constness {
        errors.at(token, "a task handler cannot be const");
    }
    if let Some(abi) = &signature.abi {
        errors.at(abi, "a task handler is a plain Rust function, without `extern`");
    }
    if let Some(variadic) = &signature.variadic {
        errors.at(variadic, "a task handler has a fixed number of arguments");
    }
    if let ReturnType::Type(_, ty) = &signature.output
        && let Type::ImplTrait(_) = &**ty
    {
        errors.at(
            ty,
            "name the type: a task handler returns (), Result<T, E> or Outcome",
        );
    }
}

/// The arguments, in order. With `is_payload` those that are not asked for make the payload, otherwise the first is it.
pub(crate) fn arguments(function: &mut ItemFn, is_payload: bool, errors: &mut Errors) -> Vec<Argument> {
    let whole = function.sig.ident.clone();
    let inputs = &mut function.sig.inputs;
    if let Some(receiver) = inputs.iter().find(|input| matches!(input, FnArg::Receiver(_))) {
        errors.at(
            receiver,
            "a task handler is a function of its own, not a method: take shared values as `State<T>`",
        );
        return Vec::new();
    }
    let mut arguments: Vec<Argument> = typed(inputs).map(argument).collect();
    for argument in &arguments {
        check_ownership(&argument.ty, errors);
    }
    if is_payload {
        for argument in &mut arguments {
            if argument.role == Role::Payload {
                argument.role = Role::Field;
                check_field(argument, errors);
            }
        }
    } else {
        check_order(&mut arguments, &whole, errors);
    }
    arguments
}

fn typed(inputs: &mut Punctuated<FnArg, syn::Token![,]>) -> impl Iterator<Item = &mut PatType> {
    inputs.iter_mut().filter_map(|input| match input {
        FnArg::Typed(argument) => Some(argument),
        FnArg::Receiver(_) => None,
    })
}

/// Takes the attributes away: the compiler allows none on arguments.
fn argument(argument: &mut PatType) -> Argument {
    let attrs = std::mem::take(&mut argument.attrs);
    let (marks, attrs): (Vec<_>, Vec<_>) = attrs
        .into_iter()
        .partition(|attribute| attribute.path().is_ident("extract"));
    let role = if !marks.is_empty() || is_extractor(&argument.ty) {
        Role::Extracted
    } else {
        Role::Payload
    };
    // What else stands there belongs to a field of the payload; of other arguments the compiler judges it.
    let (kept, attrs) = if role == Role::Extracted {
        (attrs, Vec::new())
    } else {
        attrs
            .into_iter()
            .partition(|attribute| attribute.path().is_ident("cfg") || attribute.path().is_ident("allow"))
    };
    argument.attrs = kept;
    let name = match &*argument.pat {
        Pat::Ident(pat) if pat.by_ref.is_none() && pat.subpat.is_none() => Some(pat.ident.clone()),
        _ => None,
    };
    Argument {
        ty: (*argument.ty).clone(),
        name,
        role,
        attrs,
    }
}

fn last_segment(ty: &Type) -> Option<String> {
    match ty {
        Type::Path(path) => path.path.segments.last().map(|segment| segment.ident.to_string()),
        Type::Group(group) => last_segment(&group.elem),
        Type::Paren(paren) => last_segment(&paren.elem),
        _ => None,
    }
}

fn is_extractor(ty: &Type) -> bool {
    last_segment(ty).is_some_and(|name| EXTRACTORS.contains(&name.as_str()))
}

fn check_ownership(ty: &Type, errors: &mut Errors) {
    match ty {
        Type::Reference(reference) => {
            let owned = match &*reference.elem {
                Type::Slice(slice) => format!("Vec<{}>", slice.elem.to_token_stream()),
                other if last_segment(other).as_deref() == Some("str") => "String".to_owned(),
                other => other.to_token_stream().to_string().replace(' ', ""),
            };
            errors.at(ty, format!("a task handler owns its arguments: write `{owned}`"));
        }
        Type::ImplTrait(_) => errors.at(ty, "a task handler cannot be generic: name the type"),
        _ => {}
    }
}

fn check_field(argument: &Argument, errors: &mut Errors) {
    if argument.name.is_none() {
        errors.at(
            &argument.ty,
            "give this argument a plain name: it becomes a field of the payload. An extractor of your own is marked `#[extract]`",
        );
    }
}

/// The payload comes first, and everything else is asked for.
fn check_order(arguments: &mut [Argument], whole: &Ident, errors: &mut Errors) {
    let Some((first, others)) = arguments.split_first_mut() else {
        errors.at(
            whole,
            "a task handler takes its payload first: `async fn handle(email: WelcomeEmail)`; or name the task, `#[task(name = \"…\")]`, and its arguments become the payload",
        );
        return;
    };
    let late_payload = others.iter().position(|other| other.role == Role::Payload);
    if first.role == Role::Extracted {
        let ty = first.ty.to_token_stream().to_string().replace(' ', "");
        let text = match late_payload.map(|place| shown(&others[place])) {
            Some(payload) => {
                format!("the payload comes first: put `{payload}` before `{ty}`")
            }
            None => format!(
                "the payload comes first, before `{ty}`; or name the task, `#[task(name = \"…\")]`, to have none"
            ),
        };
        errors.at(&first.ty, text);
        return;
    }
    first.role = Role::Payload;
    if let Some(name) = last_segment(&first.ty).filter(|name| is_value(name)) {
        errors.at(
            &first.ty,
            format!("`{name}` is not a payload: take a struct with `#[derive(Task)]`, or name the task, `#[task(name = \"…\")]`, and its arguments become the payload"),
        );
    }
    for other in others.iter().filter(|other| other.role == Role::Payload) {
        refuse_argument(other, errors);
    }
}

fn shown(argument: &Argument) -> String {
    let ty = argument.ty.to_token_stream().to_string().replace(' ', "");
    match &argument.name {
        Some(name) => format!("{name}: {ty}"),
        None => ty,
    }
}

fn is_value(name: &str) -> bool {
    const VALUES: [&str; 22] = [
        "String", "str", "bool", "char", "u8", "u16", "u32", "u64", "u128", "usize", "i8", "i16", "i32",
        "i64", "i128", "isize", "f32", "f64", "Vec", "Option", "HashMap", "Duration",
    ];
    VALUES.contains(&name)
}

fn refuse_argument(argument: &Argument, errors: &mut Errors) {
    if !is_plain(&argument.ty) {
        return;
    }
    let name = last_segment(&argument.ty).unwrap_or_else(|| "this".to_owned());
    let ty = argument.ty.to_token_stream().to_string().replace(' ', "");
    let text = if is_value(&name) {
        format!("`{ty}` cannot be asked for: put it in the payload, the first argument")
    } else {
        let binding = argument
            .name
            .as_ref()
            .map_or_else(|| "x".to_owned(), ToString::to_string);
        format!(
            "`{ty}` cannot be asked for\nfor a shared value write `State({binding}): State<{ty}>`; an extractor of your own is marked `#[extract] {binding}: {ty}`; the others are {LIST}"
        )
    };
    errors.at_span(argument.ty.span(), text);
}
