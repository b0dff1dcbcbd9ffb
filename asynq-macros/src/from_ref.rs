//! `#[derive(FromRef)]`.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Data, DataStruct, DeriveInput, Field, Fields, Meta};

use crate::errors::Errors;
use crate::{attr, values};

pub(crate) fn derive(item: &DeriveInput) -> TokenStream {
    let mut errors = Errors::default();
    let mut krate = quote!(::asynq_server);
    for attribute in attributes(&item.attrs) {
        let Meta::List(list) = &attribute.meta else {
            errors.at(attribute, "expected `#[from_ref(crate = …)]`");
            continue;
        };
        for item in attr::items(list.tokens.clone(), &mut errors) {
            if item.key == "crate" {
                krate = values::krate(&item, &mut errors).unwrap_or(krate);
            } else {
                attr::unknown(&item.key, &["crate"], &mut errors);
            }
        }
    }
    if !item.generics.params.is_empty() {
        errors.at(
            &item.generics,
            "the state of a program cannot be generic: write `impl FromRef` by hand",
        );
    }
    let Data::Struct(DataStruct {
        fields: fields @ Fields::Named(_),
        ..
    }) = &item.data
    else {
        errors.at(
            &item.ident,
            "`FromRef` can be derived for a struct with named fields",
        );
        return errors.into_tokens();
    };
    let fields = chosen(fields, &mut errors);
    if !errors.is_empty() {
        return errors.into_tokens();
    }
    fields
        .into_iter()
        .map(|field| implementation(item, field, &krate))
        .collect()
}

fn attributes(attributes: &[syn::Attribute]) -> impl Iterator<Item = &syn::Attribute> {
    attributes
        .iter()
        .filter(|attribute| attribute.path().is_ident("from_ref"))
}

fn chosen<'a>(fields: &'a Fields, errors: &mut Errors) -> Vec<&'a Field> {
    let mut chosen: Vec<&Field> = Vec::new();
    for field in fields {
        let mut skipped = false;
        for attribute in attributes(&field.attrs) {
            match &attribute.meta {
                Meta::List(list) if list.tokens.to_string() == "skip" => skipped = true,
                _ => errors.at(attribute, "expected `#[from_ref(skip)]`"),
            }
        }
        if skipped {
            continue;
        }
        let text = field.ty.to_token_stream().to_string();
        let same = chosen
            .iter()
            .any(|other| other.ty.to_token_stream().to_string() == text);
        if same {
            errors.at(
                &field.ty,
                "another field has this type, so a handler could not say which it wants: give one of them a type of its own, or mark it `#[from_ref(skip)]`",
            );
        }
        chosen.push(field);
    }
    chosen
}

fn implementation(item: &DeriveInput, field: &Field, krate: &TokenStream) -> TokenStream {
    let (state, name, ty) = (&item.ident, &field.ident, &field.ty);
    let clone = quote_spanned!(ty.span()=> ::core::clone::Clone::clone(&state.#name));
    quote! {
        #[automatically_derived]
        impl #krate::FromRef<#state> for #ty {
            fn from_ref(state: &#state) -> Self {
                #clone
            }
        }
    }
}
