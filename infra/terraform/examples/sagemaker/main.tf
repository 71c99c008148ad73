# A study in a bucket, a role for SageMaker training jobs that are its workers, and a repository for their image.
#
#   terraform init && terraform apply -var bucket=...
#   docker build -f infra/docker/Dockerfile -t REPOSITORY_URL:1 . && docker push REPOSITORY_URL:1
#
# Nothing runs here, so that idle it costs what the bucket and the repository hold. To end it: hpo-pipe submit cancel,
# then terraform destroy. A bucket or a repository that is not empty stays, and says so.

provider "aws" {
  region = var.region

  default_tags {
    tags = { "hpo-pipe:owner" = var.owner }
  }
}

module "storage" {
  source = "../../modules/storage"

  bucket          = var.bucket
  studies         = [var.study]
  checkpoint_days = 90
}

resource "aws_ecr_repository" "worker" {
  name                 = var.name
  image_tag_mutability = "IMMUTABLE"

  image_scanning_configuration {
    scan_on_push = true
  }
}

module "iam" {
  source = "../../modules/iam"

  name            = var.name
  bucket          = module.storage.bucket
  study           = var.study
  worker_services = ["sagemaker"]
  with_ticks      = true # no coordinator lives here: workers tick
  sagemaker       = true
  submitters      = var.submitters
  repository_arns = [aws_ecr_repository.worker.arn]
}
