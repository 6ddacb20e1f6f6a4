"""Pages for a browser: recorded episodes, the game itself, and trainings in progress.

A page is one file that needs nothing else. Its program is built from TypeScript in the repository's `viewer/` by
`make viewer`, and kept in `pages/`; here the data is packed and put into it.
"""
