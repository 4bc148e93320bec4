"""The classroom: hand out, collect, grade in sandboxes, report, give back. ``course grade --help`` lists the commands.

=============  =====================================================================================================
the folder     ``folder`` (paths, roster, settings), ``assign`` (what is handed out), ``collect`` with ``exports`` (what comes back)
the sandbox    ``sandbox`` (bubblewrap and its supervisor), ``serve`` (inside), ``drive`` (outside), ``tampering`` with ``canary``
the pipeline   ``job`` (one submission), ``run`` (all of them), ``gradebook`` (the one writer), ``autograded`` (what formgrader shows)
the results    ``report`` with ``statistics``, ``feedback``, ``notes``
nbgrader       ``provisioner`` and ``execute``: plain ``nbgrader autograde`` uses the same sandbox
=============  =====================================================================================================

Nothing here is imported by a learner's commands.
"""
