"""Runs over many captures: on all cores of a machine, or on a Dask cluster; their results become one."""
