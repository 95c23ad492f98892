"""Policies: what a file may say (`schema`), what it means (`load`), what follows from it (`decide`)."""
