//! Numbers of a payload, for Python's JSON reader.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

/// The number that a JSON text says. A `ValueError` when it is out of range: Python's own reader
/// makes an infinity of it, which JSON does not have.
#[pyfunction]
pub(crate) fn parse_float(text: &str) -> PyResult<f64> {
    match text.parse() {
        Ok(number) if f64::is_finite(number) => Ok(number),
        _ => Err(PyValueError::new_err(format!("number out of range: {text:.40}"))),
    }
}
