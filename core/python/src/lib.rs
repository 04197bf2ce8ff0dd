//! The compiled core of tidelog as a Python module. Nothing is decided here: arguments in, results out.

mod alike;
mod chain;
mod copy;
mod envelopes;
mod events;
mod fingerprints;
mod frames;
mod levels;
mod market;
mod objects;
mod rows;
mod stored;
mod websocket;

use pyo3::prelude::*;
use pyo3::types::PySequence;
use tidelog_sqlite as _; // SQLite loads it from this library: tidelog.store.sqlite.packing

#[pymodule]
fn tidelog_core(module: &Bound<'_, PyModule>) -> PyResult<()> {
    tidelog_pure::fault::remember();
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add("CONTRACT", chain::CONTRACT)?;
    module.add_class::<chain::Rules>()?;
    module.add_class::<rows::Rows>()?;
    PySequence::register::<rows::Rows>(module.py())?;
    module.add_class::<market::Books>()?;
    module.add_class::<frames::Frames>()?;
    module.add_class::<events::BookDelta>()?;
    module.add_class::<events::BookSnapshot>()?;
    module.add_class::<events::Trades>()?;
    module.add_class::<events::Tickers>()?;
    module.add_class::<levels::Level>()?;
    module.add_class::<events::Events>()?;
    PySequence::register::<events::Events>(module.py())?;
    module.add_class::<websocket::Messages>()?;
    PySequence::register::<websocket::Messages>(module.py())?;
    module.add_function(wrap_pyfunction!(market::record_at, module)?)?;
    module.add_function(wrap_pyfunction!(websocket::texts, module)?)?;
    module.add_function(wrap_pyfunction!(chain::prove, module)?)?;
    module.add_function(wrap_pyfunction!(chain::hold_headers, module)?)?;
    module.add_function(wrap_pyfunction!(stored::reprove, module)?)?;
    module.add_function(wrap_pyfunction!(envelopes::split, module)?)?;
    module.add_function(wrap_pyfunction!(objects::transaction_objects, module)?)?;
    module.add_function(wrap_pyfunction!(objects::receipt_objects, module)?)?;
    module.add_function(wrap_pyfunction!(copy::copy_rows, module)?)?;
    module.add_function(wrap_pyfunction!(copy::copy_packed, module)?)?;
    module.add_function(wrap_pyfunction!(copy::read_copy, module)?)?;
    module.add_function(wrap_pyfunction!(fingerprints::parted, module)?)?;
    module.add_function(wrap_pyfunction!(chain::lanes, module)?)
}
