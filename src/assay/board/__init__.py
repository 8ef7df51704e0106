"""The board: methods x pools x targets x budgets, each choice judged as `assay verify` judges it, side by side."""
