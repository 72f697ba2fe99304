from django.urls import path

from . import views

urlpatterns = [
    path("create-contact", views.CreateContact.as_view(), name="create-contact"),
]
