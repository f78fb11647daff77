"""Names of files in the folder of a model, known without PyTorch."""

INDEX = "model_index.json"
EXPERIMENT = "experiment.yaml"
