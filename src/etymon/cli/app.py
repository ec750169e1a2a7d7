"""The command line's root: every command by its group."""

import typer

from etymon.cli import (
    audit,
    board,
    check,
    corpus,
    dossier,
    evaluate,
    evidence,
    export,
    guard,
    impact,
    index,
    lineage,
    make,
    mapping,
    models,
    new,
    register,
    review,
    see,
    serve,
)

app = typer.Typer(
    name="etymon",
    help="Grow your own language model from an open one, and prove what came from where.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.command("run")(make.run_recipe)
app.command("new")(new.new_recipe)
app.command("plan")(new.plan_recipe)
app.command("check")(check.check_recipe)
app.command("train")(make.train_recipe)
app.add_typer(corpus.app, name="corpus")
app.command("evaluate")(evaluate.evaluate_models)
app.command("import-scores")(evaluate.import_scores)
app.command("lineage")(lineage.lineage)
app.command("family")(lineage.family)
app.add_typer(index.app, name="index")
app.add_typer(dossier.app, name="dossier")
app.add_typer(register.app, name="register")
app.command("impact")(impact.impact)
app.command("review")(review.review)
app.command("chat")(models.chat)
app.add_typer(serve.app, name="serve", help="Serve models by OpenAI's API; keys of its clients.")
app.add_typer(board.app, name="board")
app.command("export")(export.export)
app.command("audit")(audit.audit)
app.command("map")(mapping.map_table)
app.command("guard")(guard.guard)
app.command("runs")(see.runs)
app.command("show")(see.show)
app.command("sign")(evidence.sign)
app.command("verify")(evidence.verify)
app.add_typer(evidence.keys_app, name="keys")
app.command("clean")(see.clean)
app.command("rebuild-catalog")(see.rebuild_catalog)
