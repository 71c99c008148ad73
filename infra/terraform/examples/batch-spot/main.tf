# A study in a bucket, spot GPUs of AWS Batch that cost nothing when idle, and a coordinator that ticks once a minute.
#
#   terraform init && terraform apply -var bucket=... -var vpc_id=... -var 'subnet_ids=["..."]'
#   docker build -f infra/docker/Dockerfile -t IMAGE . && docker push IMAGE
#   terraform apply ... -var worker_image=IMAGE -var coordinator_image=IMAGE
#
# Idle it costs what the bucket holds, the images in ECR, and ticks until the study has ended (README.md).
# To end it: hpo-pipe submit cancel, then terraform destroy. A bucket that is not empty stays, and says so.

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
  events          = var.on_events
}

module "batch" {
  source = "../../modules/batch"

  name                = var.name
  vpc_id              = var.vpc_id
  subnet_ids          = var.subnet_ids
  max_vcpus           = var.max_vcpus
  on_demand_max_vcpus = var.on_demand_max_vcpus

  worker = var.worker_image == null ? null : {
    image        = var.worker_image
    job_role_arn = module.iam.worker_role_arn
  }
}

module "iam" {
  source = "../../modules/iam"

  name            = var.name
  bucket          = module.storage.bucket
  study           = var.study
  worker_services = ["ecs-tasks"]
  submitters      = var.submitters
  scaling         = var.max_workers != null

  batch = {
    job_queue_arn      = module.batch.job_queue_arn
    log_group_arn      = module.batch.log_group_arn
    job_definition_arn = module.batch.job_definition_arn
  }
}

module "coordinator" {
  source = "../../modules/coordinator"

  name        = "${var.name}-coordinator"
  bucket      = module.storage.bucket
  study       = var.study
  role_name   = module.iam.coordinator_role_name
  image_uri   = var.coordinator_image
  max_workers = var.max_workers
  on_events   = var.on_events
}
