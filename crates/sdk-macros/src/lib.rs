//! The `#[async_task]` attribute of `bedrock-agentcore`.
//!
//! Thin on purpose: it checks what it is put on and wraps the body; everything that happens at run
//! time is in `bedrock_agentcore::AsyncTask`.

use proc_macro::TokenStream;
use proc_macro2::TokenStream as Tokens;
use quote::quote;
use syn::parse::{Parse, ParseStream};
use syn::{ItemFn, LitStr, ReturnType, Token};

/// Tracks an async function as a task: while it runs, the agent is busy.
///
/// A call returns an `AsyncTask`, a future that can be spawned in the background (`.spawn()`, or
/// `tokio::spawn`) or awaited in place; awaited, it yields a `Result`, for a task may be cancelled
/// or panic. The function's value is kept as the task's result, or, if it is an `Err`, as its error:
/// it implements `serde::Serialize`, or is a `Result` of something that does.
///
/// The task is named after the function, or as `#[async_task(name = "...")]` says.
///
/// ```
/// # use bedrock_agentcore::async_task;
/// #[async_task]
/// async fn background_work(rows: u64) -> Result<u64, std::io::Error> {
///     Ok(rows * 2)
/// }
/// ```
#[proc_macro_attribute]
pub fn async_task(arguments: TokenStream, item: TokenStream) -> TokenStream {
    expand(arguments.into(), item.into()).unwrap_or_else(|errors| errors.to_compile_error()).into()
}

fn expand(arguments: Tokens, item: Tokens) -> syn::Result<Tokens> {
    let function: ItemFn = syn::parse2(item)?;
    let mut errors = Errors::default();
    let arguments = errors.keep(syn::parse2::<Arguments>(arguments)).unwrap_or_default();
    check(&function, &mut errors);
    errors.into_result()?;

    let ItemFn { attrs, vis, mut sig, block, .. } = function;
    let name = arguments.name.unwrap_or_else(|| LitStr::new(&sig.ident.to_string(), sig.ident.span()));
    let value = match &sig.output {
        ReturnType::Default => quote!(()),
        ReturnType::Type(_, value) => quote!(#value),
    };
    sig.asyncness = None;
    sig.output = syn::parse_quote!(
        -> ::bedrock_agentcore::AsyncTask<impl ::core::future::Future<Output = #value>>
    );
    Ok(quote! {
        #(#attrs)*
        #vis #sig {
            ::bedrock_agentcore::AsyncTask::new(#name, async move #block)
        }
    })
}

fn check(function: &ItemFn, errors: &mut Errors) {
    let signature = &function.sig;
    if signature.asyncness.is_none() {
        errors.add(syn::Error::new_spanned(
            signature.fn_token,
            "#[async_task] can only be applied to async functions; for blocking work use `Tasks::task(..).spawn_blocking(..)`",
        ));
    }
    if let Some(constness) = &signature.constness {
        errors.add(syn::Error::new_spanned(constness, "#[async_task] cannot be applied to a const function"));
    }
    if let Some(variadic) = &signature.variadic {
        errors
            .add(syn::Error::new_spanned(variadic, "#[async_task] cannot be applied to a variadic function"));
    }
}

#[derive(Default)]
struct Arguments {
    name: Option<LitStr>,
}

impl Parse for Arguments {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        if input.is_empty() {
            return Ok(Self::default());
        }
        let key: syn::Ident = input.parse()?;
        if key != "name" {
            return Err(syn::Error::new_spanned(key, "unknown argument: expected `name = \"...\"`"));
        }
        input.parse::<Token![=]>()?;
        let name = input.parse()?;
        input.parse::<Option<Token![,]>>()?;
        Ok(Self { name: Some(name) })
    }
}

/// Errors are collected, so that an author sees all of them at once.
#[derive(Default)]
struct Errors(Option<syn::Error>);

impl Errors {
    fn add(&mut self, error: syn::Error) {
        match &mut self.0 {
            Some(errors) => errors.combine(error),
            None => self.0 = Some(error),
        }
    }

    fn keep<T>(&mut self, result: syn::Result<T>) -> Option<T> {
        result.map_err(|error| self.add(error)).ok()
    }

    fn into_result(self) -> syn::Result<()> {
        self.0.map_or(Ok(()), Err)
    }
}
