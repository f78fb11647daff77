def test_trained(trained):
    import subprocess
    print(subprocess.run(["find", str(trained.run_directory)],capture_output=True,text=True).stdout)
    print(trained.run_directory)
    print((trained.run_directory/'autoencoder/metrics.jsonl').read_text())
    print((trained.run_directory/'diffusion/metrics.jsonl').read_text())
