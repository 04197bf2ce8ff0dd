//! Rows, as tuples or encoded, laid out as the stream of a binary COPY.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyInt, PyIterator, PyList, PyString, PyTuple};
use tidelog_pure::chain::rows::{Rows as PureRows, Value};
use tidelog_pure::copy::{Column, Copy, read};
use tidelog_pure::fault::guarded;

use crate::rows::Rows;

/// What the letters of columns stand for.
fn columns_of(letters: &[u8]) -> PyResult<Vec<Column>> {
    let column =
        |letter: &u8| Column::of(*letter).ok_or_else(|| PyValueError::new_err(format!("no kind of column: {letter}")));
    letters.iter().map(column).collect()
}

type Portion<'py> = (Bound<'py, PyList>, Option<Bound<'py, PyBytes>>);

/// Lay out the next rows of an iterator, up to some bytes.
///
/// Args:
///     columns: a letter for each: i (BIGINT), n (NUMERIC, of an integer or of 32 bytes), t (TEXT), b (BYTEA).
///     bytes_max: after the row that reaches it, no further one is taken.
///     last: an INTEGER that is the last field of each, and is not in the rows.
///
/// Returns:
///     The rows that were taken, and their stream; None in its place if a value does not fit its column. None if no row
///     is left.
#[pyfunction]
#[pyo3(signature = (rows, columns, bytes_max, last=None))]
pub fn copy_rows<'py>(
    py: Python<'py>,
    rows: &Bound<'py, PyIterator>,
    columns: &[u8],
    bytes_max: usize,
    last: Option<i32>,
) -> PyResult<Option<Portion<'py>>> {
    let columns = columns_of(columns)?;
    let width = u16::try_from(columns.len())?;
    let (taken, mut copy, mut fits) = (PyList::empty(py), Copy::new(width, last), true);
    let mut rows = rows.clone();
    while fits && (taken.is_empty() || copy.size() < bytes_max) {
        let Some(row) = rows.next() else { break };
        let row = row?;
        fits = row.cast::<PyTuple>().is_ok_and(|row| row.len() == columns.len() && lay_out(&mut copy, row, &columns));
        taken.append(row)?;
    }
    if taken.is_empty() {
        return Ok(None);
    }
    let stream = fits.then(|| PyBytes::new(py, &copy.end()));
    Ok(Some((taken, stream)))
}

/// A stream, None if a value does not fit its column; the piece and the row where it ends.
type Part<'py> = (Option<Bound<'py, PyBytes>>, (usize, usize));

/// Lay out encoded rows, up to some bytes, with the interpreter's lock released.
///
/// Args:
///     pieces: what `Rows` hold, of one table.
///     columns, bytes_max, last: as of `copy_rows`.
///     piece, row: where to begin.
///
/// Returns:
///     The stream of the next rows, and where it ends. None if no row is left.
#[pyfunction]
#[pyo3(signature = (pieces, columns, bytes_max, piece, row, last=None))]
pub fn copy_packed<'py>(
    py: Python<'py>,
    pieces: Vec<Bound<'py, Rows>>,
    columns: &[u8],
    bytes_max: usize,
    piece: usize,
    row: usize,
    last: Option<i32>,
) -> PyResult<Option<Part<'py>>> {
    let columns = columns_of(columns)?;
    let width = u16::try_from(columns.len())?;
    let pieces: Vec<&PureRows> = pieces.iter().map(|rows| rows.get().inner()).collect();
    let (stream, piece, row, any) = py.detach(|| {
        let (mut copy, mut any, mut piece, mut row) = (Copy::new(width, last), false, piece, row);
        while let Some(rows) = pieces.get(piece) {
            let Some(values) = rows.values(row) else {
                (piece, row) = (piece + 1, 0);
                continue;
            };
            if any && copy.size() >= bytes_max {
                break;
            }
            any = true;
            if !lay_out_values(&mut copy, values, &columns) {
                return (None, piece, row, any);
            }
            row += 1;
        }
        (Some(copy.end()), piece, row, any)
    });
    Ok(any.then(|| (stream.map(|stream| PyBytes::new(py, &stream)), (piece, row))))
}

/// Read the stream of a binary COPY, with the interpreter's lock released.
///
/// Args:
///     columns: as of `copy_rows`, and w (NUMERIC, of an integer of 64 bits).
///     height: the place of the column that says which block a row is of; they ascend.
///
/// Returns:
///     Each height that has rows, and its rows. None if there is a value that no row of the chain has.
#[pyfunction]
pub fn read_copy(py: Python<'_>, stream: &[u8], columns: &[u8], height: usize) -> PyResult<Option<Vec<(u64, Rows)>>> {
    let columns = columns_of(columns)?;
    let pieces = py.detach(|| guarded(|| read(stream, &columns, height)).ok().flatten());
    Ok(pieces.map(|pieces| pieces.into_iter().map(|piece| (piece.height, Rows::of(piece.rows))).collect()))
}

fn lay_out_values<'a>(copy: &mut Copy, mut values: impl Iterator<Item = Value<'a>>, columns: &[Column]) -> bool {
    copy.row();
    let fit = columns.iter().all(|column| match (column, values.next()) {
        (_, Some(Value::Null)) => {
            copy.null();
            true
        }
        (Column::Int, Some(Value::Int(number))) => i64::try_from(number).is_ok_and(|number| {
            copy.int8(number);
            true
        }),
        (Column::Wide | Column::Numeric, Some(Value::Int(number))) => {
            copy.numeric(number);
            true
        }
        (Column::Numeric, Some(Value::Bytes(bytes))) => bytes.try_into().is_ok_and(|wide| {
            copy.numeric256(wide);
            true
        }),
        (Column::Text, Some(Value::Text(text))) => copy.bytes(text.as_bytes()),
        (Column::Bytes, Some(Value::Bytes(bytes))) => copy.bytes(bytes),
        _ => false,
    });
    copy.row_end();
    fit && values.next().is_none()
}

fn lay_out(copy: &mut Copy, row: &Bound<'_, PyTuple>, columns: &[Column]) -> bool {
    copy.row();
    let fit = row.iter_borrowed().zip(columns).all(|(value, column)| {
        if value.is_none() {
            copy.null();
            return true;
        }
        match column {
            Column::Int => {
                value.cast_exact::<PyInt>().ok().and_then(|number| number.extract().ok()).is_some_and(|number| {
                    copy.int8(number);
                    true
                })
            }
            Column::Wide | Column::Numeric => numeric(copy, &value),
            Column::Text => value
                .cast_exact::<PyString>()
                .is_ok_and(|text| text.to_str().is_ok_and(|text| copy.bytes(text.as_bytes()))),
            Column::Bytes => value.cast_exact::<PyBytes>().is_ok_and(|bytes| copy.bytes(bytes.as_bytes())),
        }
    });
    copy.row_end();
    fit
}

fn numeric(copy: &mut Copy, value: &Bound<'_, PyAny>) -> bool {
    if let Ok(bytes) = value.cast_exact::<PyBytes>() {
        return bytes.as_bytes().try_into().is_ok_and(|wide| {
            copy.numeric256(wide);
            true
        });
    }
    value.cast_exact::<PyInt>().ok().and_then(|number| number.extract().ok()).is_some_and(|number| {
        copy.numeric(number);
        true
    })
}
