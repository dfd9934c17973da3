//! Every figure of the report as PNG, and the report itself.
